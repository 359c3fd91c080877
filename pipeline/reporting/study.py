"""The report's section on the study: whose definition of the robustness loss costs what."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pipeline.claims.results import ExperimentResults, Results
from pipeline.core.params_choices import VARIANTS
from pipeline.metrics.intervals import Interval
from pipeline.reporting import style, wording
from pipeline.reporting.common import Part, per_experiment
from pipeline.reporting.display import Picture, Prose, Table
from pipeline.reporting.study_words import BOUGHT, conclusions, predicted
from pipeline.reporting.style import lambda_label
from pipeline.study.definitions import Definition
from pipeline.study.measured import AXES, MeasuredStudy, of_draws
from pipeline.study.predictions import predictions
from pipeline.study.published import (
    BEST_VALIDATION,
    PAPER,
    PUBLISHED_CURVES,
    PUBLISHED_RANGES,
    Nearness,
    PublishedCurve,
    PublishedLoss,
    PublishedRange,
    nearness,
    published_losses,
)

_AXIS_NAMES = {
    "robust_reg": "λ as published",
    "per_example": "√B · λ under batch, λ under example",
    **BOUGHT,
}
_BOUND = (
    " The dotted vertical line is the λ from which on a constant prediction is the optimum of "
    "review2020, if the axis reaches that far."
)
RESAMPLES = 1000  # of the seeds, for the intervals
# By the place in the list of variants, so that one more has a look too.
_LOOKS = zip((style.GREEN, style.VERMILION, style.BLUE, *style.FURTHER), "osD^vX", strict=True)
_OF_VARIANT = dict(zip(VARIANTS, cycle(_LOOKS), strict=False))
COLOURS = {variant: colour for variant, (colour, _) in _OF_VARIANT.items()}
_MARKERS = {variant: marker for variant, (_, marker) in _OF_VARIANT.items()}
_REFERENCES = {  # what to call it, and points above its line
    "linear_accuracy": ("linear classifier", -8),
    "majority_accuracy": ("constant classifier", 3),
}
_BESIDE = 0.07  # decades between the variants' bars at one λ
_PUBLISHED = {"paper": style.GREEN, "review": style.VERMILION}


@per_experiment("This run has no study.")
def disagreement(experiment: ExperimentResults, results: Results) -> Iterator[Part]:
    """For every experiment studied: curves, predictions and what came of them, conclusions."""
    name = experiment.name
    if name not in results.params.study:
        return
    study = MeasuredStudy(experiment.settings, results.study(name), RESAMPLES)
    yield Prose(_about(study))
    yield from _pictures(name, study)
    yield _predictions(study)
    compared = [(p, nearness(study, p)) for p in published_losses(name, study.lambdas)]
    yield _definitions(study, compared)
    yield _axes(study)
    yield Prose("\n\n".join(conclusions(experiment, study, compared)))


def _about(study: MeasuredStudy) -> str:
    return (
        f"{len(study.cells)} models: "
        f"{wording.counted(len(study.definitions()), 'definition')} of the loss "
        f"(variant, reduction), λ = {wording.lambdas(study.lambdas)}, "
        f"{wording.counted(study.cells['seed'].nunique(), 'seed')}; batches of "
        f"{study.settings.batch_size}."
    )


def _pictures(name: str, study: MeasuredStudy) -> list[Picture]:
    most = study.lambdas[-1]
    lost = {d: 100 * row[0, 0] for d, row in study.curves.lost([most]).items()}
    ends = f"{min(lost.values()):.1f} to {max(lost.values()):.1f}".replace("-", "−")
    title = f"What λ = {lambda_label(most)} costs: {ends} points"
    curves = [
        curve
        for curve in PUBLISHED_CURVES
        if curve.experiment == name and curve.label in (BEST_VALIDATION, PAPER)
    ]
    ranges = [span for span in PUBLISHED_RANGES if span.experiment == name]
    spoken = wording.listed([f"{d} {points:.1f}" for d, points in lost.items()])
    figure = accuracy_by_definition(study, curves, ranges, title)
    weight = Picture(
        figure,
        f"study_lambda_{name}",
        f"Accuracy against λ by definition of the robustness loss. Points lost: {spoken}.",
        "Solid: this run, means over seeds with the 95 % intervals that verdicts rest on. Dashed: "
        "published, the review’s on its validation data."
        + (_BOUND if any(name.startswith("constant_from") for name in study.references) else ""),
    )
    bought = accuracy_against(study, BOUGHT, "Accuracy against what λ bought")
    return [
        weight,
        Picture(
            bought,
            f"study_axes_{name}",
            "Accuracy of every model against its test robustness loss, in the paper’s definition, "
            "and against its Lipschitz ratio between test points, coloured by the variant it was "
            "trained with; the table of axes below has the distances between the curves.",
            "Dots are models, lines join means over seeds by rising λ (from right to left, as long "
            "as λ lowers what is measured). Values below a ten-thousandth of the largest are drawn "
            "there.",
        ),
    ]


def _predictions(study: MeasuredStudy) -> Table:
    rows = [(*predicted(study, p), p.outcome) for p in predictions(study)]
    return Table(("prediction", "measured", "outcome"), rows, kind="claims")


def _definitions(
    study: MeasuredStudy, compared: Sequence[tuple[PublishedLoss, list[Nearness]]]
) -> Table:
    """Accuracy lost, by definition, and how far its curve is from the published ones."""
    most = study.lambdas[-1]
    rows = []
    for definition in study.definitions():
        here = study.lost_at(definition, most)
        row = [str(definition), f"{wording.points(here.mean)}\n{wording.bounds(here, 100, 1)}"]
        for _, ranked in compared:
            (place,) = [one for one in ranked if one.definition == definition]
            row.append(_with_bounds(place.distance))
        rows.append(row)
    header = ["definition", f"points lost, λ\u00a0=\u00a0{lambda_label(most)}"]
    header += [f"distance from the {published.source}’s curve" for published, _ in compared]
    return Table(header, rows)


def _axes(study: MeasuredStudy) -> Table:
    rows = []
    for axis in AXES:
        texts = []
        for across in study.comparisons:
            texts.append(_with_bounds(of_draws(study.errors[axis, across])))
        rows.append((_AXIS_NAMES[axis], *texts))
    header = [f"points between {across}s" for across in study.comparisons]
    return Table(("axis", *header), rows)


def _with_bounds(error: Interval) -> str:
    return f"{error.mean:.1f}\n{wording.bounds(error, decimals=1)}"


@style.styled
def accuracy_by_definition(
    study: MeasuredStudy,
    curves: Sequence[PublishedCurve],
    ranges: Sequence[PublishedRange],
    title: str,
) -> Figure:
    """Accuracy against λ: a panel per reduction, a line per variant, its 95 % intervals as bars.

    Published ones, `curves` and `ranges`, are dashed, in every panel, in the colour of the variant
    that their authors meant to compute.
    """
    reductions = list(study.cells["reduction"].unique())
    figure = style.new_figure(3.3, title)
    row = figure.subplots(1, len(reductions), sharey=True, squeeze=False)[0]
    for axes, reduction in zip(row, reductions, strict=True):
        axes.set_title(reduction)
        for name, (label, above) in _REFERENCES.items():
            if name in study.references:
                _draw_reference(axes, study.references[name], label, above)
        for published in curves:
            axes.plot(
                *zip(*published.means.items(), strict=True), **_published_look(published.label)
            )
        for span in ranges:
            _draw_range(axes, span, study.lambdas)
        here = [one for one in study.definitions() if one.reduction == reduction]
        for place, definition in enumerate(here):
            beside = 10 ** (_BESIDE * (place - (len(here) - 1) / 2))
            _draw_measured(axes, study, definition, beside)
        bound = study.references.get(f"constant_from_{reduction}", np.inf)
        if Definition("review2020", reduction) in here and bound <= study.lambdas[-1]:
            axes.axvline(bound, color=COLOURS["review2020"], linewidth=0.8, linestyle=":")
        style.lambda_axis(axes, study.lambdas)
        axes.set_xticks(study.lambdas, [_power(value) for value in study.lambdas])
        axes.set_xlabel("λ")
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    row[0].set_ylim(top=min(1.02, row[0].get_ylim()[1]))
    row[0].set_ylabel("test accuracy")
    labels = [curve.label for curve in curves] + [span.label for span in ranges]
    _legend(figure, study, dict.fromkeys(label.split(",")[0] for label in labels))
    return figure


@style.styled
def accuracy_against(study: MeasuredStudy, columns: Mapping[str, str], title: str) -> Figure:
    """Accuracy against measured quantities: a panel per column of the cells → what to call it.

    Dots are models; lines join means over seeds by rising λ.
    """
    figure = style.new_figure(3.3, title)
    row = figure.subplots(1, len(columns), sharey=True, squeeze=False)[0]
    for axes, (column, name) in zip(row, columns.items(), strict=True):
        cells, means = 10 ** study.curves.by_seed(column), 10 ** study.curves.axis(column)[0]
        for definition, of_it in study.curves.definitions():
            colour = COLOURS[definition.variant]
            filled = colour if definition.reduction == "batch" else "white"
            dots: dict[str, Any] = {"linestyle": "", "marker": ".", "markersize": 2.5}
            accuracies = study.curves.accuracies[of_it]
            axes.plot(cells[of_it].ravel(), accuracies.ravel(), color=colour, alpha=0.35, **dots)
            axes.plot(
                means[of_it],
                study.curves.accuracy[0, of_it],
                color=colour,
                marker=_MARKERS[definition.variant],
                markerfacecolor=filled,
                linestyle="-" if definition.reduction == "batch" else ":",
                linewidth=1.2,
                zorder=3,
            )
        axes.set_xscale("log")
        axes.minorticks_off()
        axes.xaxis.set_major_locator(mpl.ticker.LogLocator(numticks=5))
        axes.set_xlabel(name)
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    row[0].set_ylabel("test accuracy")
    _legend(figure, study, {}, reductions=True)
    return figure


def _draw_measured(axes: Axes, study: MeasuredStudy, definition: Definition, beside: float) -> None:
    at = [study.accuracy_at(definition, value) for value in study.lambdas]
    style.intervals(
        axes,
        np.array(study.lambdas) * beside,
        at,
        color=COLOURS[definition.variant],
        marker=_MARKERS[definition.variant],
        elinewidth=0.9,
        capsize=2,
        zorder=3,
    )


def _draw_reference(axes: Axes, accuracy: float, label: str, above: float) -> None:
    axes.axhline(accuracy, color=style.GREY, linewidth=0.7, linestyle=(0, (1, 2)), zorder=1)
    axes.annotate(
        label,
        (0.03, accuracy),
        (0, above),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        color=style.GREY,
        fontsize=7,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
        zorder=1,
    )


def _draw_range(axes: Axes, span: PublishedRange, lambdas: Sequence[float]) -> None:
    ends = [max(span.from_lambda, lambdas[0]), span.to_lambda]
    middle = (span.low + span.high) / 2
    axes.plot(ends, [middle, middle], **_published_look(span.label))


def _published_look(label: str) -> dict[str, Any]:
    colour = _PUBLISHED[label.split(",")[0]]
    return {"color": colour, "linestyle": "--", "linewidth": 1, "marker": "x", "zorder": 2}


def _legend(
    figure: Figure, study: MeasuredStudy, sources: Mapping[str, None], reductions: bool = False
) -> None:
    handles = [
        Line2D([], [], color=COLOURS[variant], marker=_MARKERS[variant], label=variant)
        for variant in study.cells["variant"].unique()
    ]
    handles += [
        Line2D([], [], label=f"{source}, published", **_published_look(source))
        for source in sources
    ]
    if reductions:
        looks = {"batch": ("-", style.GREY), "example": (":", "white")}
        handles += [
            Line2D([], [], color=style.GREY, marker="o", ls=line, mfc=face, label=reduction)
            for reduction, (line, face) in looks.items()
            if reduction in set(study.cells["reduction"])
        ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, columnspacing=1.2)


def _power(value: float) -> str:
    """λ in as little room as five of them have side by side."""
    exponent = round(np.log10(value))
    if exponent < -1 and np.isclose(value, 10.0**exponent):
        return style.power_of_ten(exponent)
    return style.lambda_label(value)
