"""The report's section on what robustness costs: accuracy against λ, with the published curves."""

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from pipeline.claims import wording
from pipeline.claims.results import ExperimentResults
from pipeline.claims.wording import lambda_label
from pipeline.reporting import style
from pipeline.reporting.common import draw_cells, mean_accuracies, per_experiment
from pipeline.reporting.display import Part, Picture
from pipeline.study.published import (
    BEST_VALIDATION,
    PAPER,
    PUBLISHED_CURVES,
    PUBLISHED_RANGES,
    PublishedCurve,
    PublishedRange,
)

NOTES = {
    BEST_VALIDATION: "Along λ, the review published only its best validation accuracy.",
    PAPER: "The paper’s text quotes only the ends of its curve.",
}
_LOOKS: dict[str, dict[str, Any]] = {  # by how a published curve's label starts
    "review, best": {"linestyle": "-", "marker": "s"},
    "review, checkpoints": {"linestyle": ":", "marker": "D"},
    "review, test": {"linestyle": "", "marker": "D", "mfc": "white"},
    "ETH": {"linestyle": "-.", "marker": "v"},
    "paper": {"linestyle": "--", "marker": "^"},
}


@per_experiment()
def accuracy(experiment: ExperimentResults) -> Iterator[Part]:
    """Accuracy against λ, a figure per experiment."""
    name = experiment.name
    means = experiment.cells.groupby("robust_reg")["accuracy"].mean()
    curves = [curve for curve in PUBLISHED_CURVES if curve.experiment == name]
    ranges = [published for published in PUBLISHED_RANGES if published.experiment == name]
    title = _title(means)
    each = [
        f"{wording.percent(mean)} at {lambda_label(value)}"
        for value, mean in zip(means.index, means, strict=True)
    ]
    seeds = len(experiment.seeds)
    collapsed = experiment.cells["collapsed"].any()
    caption = (
        f"Dots: the {seeds} seeds. Blue line: their mean, with the 95 % intervals by which claims "
        "are judged."
        if seeds > 1
        else "One seed, so there is no interval."
    )
    if collapsed:
        caption += (
            " Hollow: models that collapsed in training, and means of which at least half did."
        )
    labels = {curve.label for curve in curves if len(curve.points) > 1}
    caption += "".join(f" {note}" for label, note in NOTES.items() if label in labels)
    figure = accuracy_against_lambda(experiment.cells, curves, ranges, title)
    alt = f"{title}. Mean test accuracy: {wording.listed(each)}."
    yield Picture(figure, f"accuracy_{name}", alt, caption)


def _title(means: pd.Series) -> str:
    """How much of the mean accuracies by λ, ascending, is lost."""
    first, last = (lambda_label(means.index[end]) for end in (0, -1))
    if len(means) < 2:
        return f"{wording.percent(means.iloc[0])} at λ = {first}"
    lost = 100 * (means.iloc[0] - means.iloc[-1])
    return f"{abs(lost):.1f} points {'lost' if lost >= 0 else 'gained'} from λ = {first} to {last}"


@style.styled
def accuracy_against_lambda(
    cells: pd.DataFrame,
    curves: Sequence[PublishedCurve],
    ranges: Sequence[PublishedRange],
    title: str,
) -> Figure:
    """Test accuracy of `cells` against λ: seeds as dots, their mean, its 95 % interval as bars.

    Models that collapsed are hollow, as are means of which at least half did.

    Parameters
    ----------
    cells : one row per cell: robust_reg, seed, accuracy, accuracy_low, accuracy_high,
        collapsed.
    curves, ranges : published ones, to draw for comparison.
    """
    figure = style.new_figure(3.0, title)
    axes = figure.subplots()
    lambdas = sorted({*cells["robust_reg"], *(value for curve in curves for value in curve.points)})
    for published in ranges:
        axes.fill_between(
            [published.from_lambda or lambdas[0], published.to_lambda],
            published.low,
            published.high,
            color=style.GREEN,
            alpha=0.4,
            linewidth=1.2,
            label=published.label,
        )
    for curve in curves:
        look = next(look for start, look in _LOOKS.items() if curve.label.startswith(start))
        colour = style.SOURCES[curve.label.split(",")[0]]
        axes.plot(
            *zip(*curve.means.items(), strict=True),
            color=colour,
            linewidth=1.1,
            zorder=2,
            label=curve.label,
            **look,
        )
        for value, seeds in curve.points.items():
            axes.vlines(value, min(seeds), max(seeds), color=colour, linewidth=0.8, zorder=2)
    measured = mean_accuracies(cells)
    line = {"linewidth": 1.8, "elinewidth": 1.2, "label": "this run, test accuracy"}
    draw_cells(axes, cells, "accuracy", measured, 5, **line)
    for value, here in measured.items():
        mean, spread = wording.percent(here.mean), here if here.low < here.high else None
        text = f"λ = {lambda_label(value)}: {wording.with_bounds(mean, spread, 100, 1)}"
        style.spot(axes, value, here.mean, text)
    for curve in curves:
        for value, published_mean in curve.means.items():
            text = f"{curve.label}: {wording.percent(published_mean)}"
            style.spot(axes, value, published_mean, text)
    means = cells.groupby("robust_reg")[["accuracy", "collapsed"]].mean()
    hollow = means.loc[means["collapsed"] >= 0.5, "accuracy"]
    axes.plot(hollow, "o", color=style.BLUE, markerfacecolor="white", markersize=5, zorder=6)
    style.lambda_axis(axes, lambdas)
    style.percent_ticks(axes.yaxis)
    axes.set_ylabel("accuracy")
    axes.legend(loc="best")
    return figure
