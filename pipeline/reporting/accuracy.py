"""The report's section on what robustness costs: accuracy against λ, with the published curves."""

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.claims.results import ExperimentResults, Results
from pipeline.metrics.intervals import Interval, accuracy_interval
from pipeline.reporting import style, wording
from pipeline.reporting.common import Part, per_experiment
from pipeline.reporting.display import Picture
from pipeline.reporting.style import lambda_label
from pipeline.study.published import (
    BEST_VALIDATION,
    PAPER,
    PUBLISHED_CURVES,
    PUBLISHED_RANGES,
    PublishedCurve,
    PublishedRange,
)

NOTES = {
    BEST_VALIDATION: "Along λ, the review published its best validation accuracy only.",
    PAPER: "Of the paper’s curve only the ends are quoted.",
}
_LOOKS: dict[str, dict[str, Any]] = {  # by the first word of a published curve's label
    "review, best": {"color": style.VERMILION, "linestyle": "-", "marker": "s"},
    "review, test": {"color": style.VERMILION, "linestyle": "", "marker": "D", "mfc": "white"},
    "paper": {"color": style.GREEN, "linestyle": "--", "marker": "^"},
}


@per_experiment()
def accuracy(experiment: ExperimentResults, results: Results) -> Iterator[Part]:
    """Accuracy against λ, a figure per experiment."""
    name, title = experiment.name, _accuracy_title(experiment)
    curves = [curve for curve in PUBLISHED_CURVES if curve.experiment == name]
    ranges = [published for published in PUBLISHED_RANGES if published.experiment == name]
    figure = accuracy_against_lambda(experiment.cells, curves, ranges, title)
    seeds = len(results.params.seeds)
    drawn = (
        f"Dots are the {seeds} seeds, the blue line is their mean, its bars are the 95 % "
        "intervals that the verdicts rest on."
        if seeds > 1
        else "One seed: there is no interval to draw."
    )
    drawn += "".join(f" {NOTES[label]}" for label in NOTES if any(c.label == label for c in curves))
    yield Picture(figure, f"accuracy_{name}", f"{title}. {_spoken(experiment)}", drawn)


def _accuracy_title(experiment: ExperimentResults) -> str:
    means = experiment.cells.groupby("robust_reg")["accuracy"].mean()
    if len(means) < 2:
        return f"{wording.percent(means.iloc[0])} at λ = {lambda_label(means.index[0])}"
    lost = 100 * (means.iloc[0] - means.iloc[-1])
    ends = f"λ = {lambda_label(means.index[0])} to {lambda_label(means.index[-1])}"
    return f"{abs(lost):.1f} points {'lost' if lost >= 0 else 'gained'} from {ends}"


def _spoken(experiment: ExperimentResults) -> str:
    means = experiment.cells.groupby("robust_reg")["accuracy"].mean()
    values = [
        f"{wording.percent(mean)} at {lambda_label(robust_reg)}"
        for robust_reg, mean in zip(means.index, means, strict=True)
    ]
    return f"Mean test accuracy: {wording.listed(values)}."


@style.styled
def accuracy_against_lambda(
    cells: pd.DataFrame,
    curves: Sequence[PublishedCurve],
    ranges: Sequence[PublishedRange],
    title: str,
) -> Figure:
    """Test accuracy of `cells` against λ: seeds as dots, their mean, its 95 % interval as bars.

    Parameters
    ----------
    cells : one row a cell: robust_reg, seed, accuracy, accuracy_low, accuracy_high.
    curves, ranges : published ones to draw in.
    """
    figure = style.new_figure(3.0, title)
    axes = figure.subplots()
    lambdas = sorted(cells["robust_reg"].unique())
    shown = {*lambdas, *(value for curve in curves for value in curve.points)}
    for published in ranges:
        least = min(shown) if published.from_lambda == 0 else published.from_lambda
        axes.fill_between(
            [least, published.to_lambda],
            published.low,
            published.high,
            color=style.GREEN,
            alpha=0.4,
            linewidth=1.2,
            label=published.label,
        )
    for curve in curves:
        _draw_published(axes, curve)
    _draw_measured(axes, cells, lambdas)
    style.lambda_axis(axes, sorted(shown))
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    axes.set_ylabel("accuracy")
    axes.legend(loc="best")
    return figure


def _draw_measured(axes: Axes, cells: pd.DataFrame, lambdas: Sequence[float]) -> None:
    groups = [cells[cells["robust_reg"] == value] for value in lambdas]
    means = [group["accuracy"].mean() for group in groups]
    axes.plot(
        cells["robust_reg"],
        cells["accuracy"],
        linestyle="",
        marker="o",
        markersize=3.2,
        markerfacecolor="white",
        markeredgecolor=style.BLUE,
        markeredgewidth=0.7,
        zorder=5,
    )
    # With one seed there is no interval over seeds, and no bar.
    intervals = [
        accuracy_interval(group) if len(group) > 1 else Interval(mean, mean, mean)
        for group, mean in zip(groups, means, strict=True)
    ]
    style.intervals(
        axes,
        lambdas,
        intervals,
        color=style.BLUE,
        marker="o",
        markersize=5,
        linewidth=1.8,
        elinewidth=1.2,
        capsize=2.5,
        label="this run, test accuracy",
        zorder=4,
    )


def _draw_published(axes: Axes, curve: PublishedCurve) -> None:
    look = next(look for prefix, look in _LOOKS.items() if curve.label.startswith(prefix))
    lambdas, means = zip(*curve.means.items(), strict=True)
    axes.plot(lambdas, means, linewidth=1.1, zorder=2, label=curve.label, **look)
    for value, seeds in sorted(curve.points.items()):
        if len(seeds) > 1:
            axes.vlines(value, min(seeds), max(seeds), color=look["color"], linewidth=0.8, zorder=2)
