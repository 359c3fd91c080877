"""The study's figures: accuracy against λ, and against what λ bought, by definition of the loss."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pipeline.params_choices import VARIANTS
from pipeline.reporting import style
from pipeline.reporting.claims import PublishedCurve, PublishedRange
from pipeline.reporting.study_predictions import Study
from pipeline.study.definitions import Definition

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


@style.styled
def accuracy_by_definition(
    study: Study,
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
            _draw_curve(axes, published)
        for span in ranges:
            _draw_range(axes, span, study.lambdas)
        here = [d for d, _ in study.curves.definitions() if d.reduction == reduction]
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
def accuracy_against(study: Study, columns: Mapping[str, str], title: str) -> Figure:
    """Accuracy against measured quantities: a panel per column of the cells → what to call it.

    Dots are models; lines join means over seeds by rising λ.
    """
    figure = style.new_figure(3.3, title)
    row = figure.subplots(1, len(columns), sharey=True, squeeze=False)[0]
    for axes, (column, name) in zip(row, columns.items(), strict=True):
        cells, means = 10 ** study.curves.by_seed(column), 10 ** study.curves.axis(column)[0]
        for definition, own in study.curves.definitions():
            colour = COLOURS[definition.variant]
            filled = colour if definition.reduction == "batch" else "white"
            dots: dict[str, Any] = {"linestyle": "", "marker": ".", "markersize": 2.5}
            accuracies = study.curves.accuracies[own]
            axes.plot(cells[own].ravel(), accuracies.ravel(), color=colour, alpha=0.35, **dots)
            axes.plot(
                means[own],
                study.curves.accuracy[0, own],
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


def _draw_measured(axes: Axes, study: Study, definition: Definition, beside: float) -> None:
    at = [study.accuracy_at(definition, value) for value in study.lambdas]
    bars = [[here.mean - here.low for here in at], [here.high - here.mean for here in at]]
    axes.errorbar(
        np.array(study.lambdas) * beside,
        [here.mean for here in at],
        yerr=bars,
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


def _draw_curve(axes: Axes, curve: PublishedCurve) -> None:
    lambdas = sorted(curve.points)
    means = [float(np.mean(curve.points[value])) for value in lambdas]
    axes.plot(lambdas, means, **_published_look(curve.label))


def _draw_range(axes: Axes, span: PublishedRange, lambdas: Sequence[float]) -> None:
    ends = [max(span.from_lambda, lambdas[0]), span.to_lambda]
    middle = (span.low + span.high) / 2
    axes.plot(ends, [middle, middle], **_published_look(span.label))


def _published_look(label: str) -> dict[str, Any]:
    colour = _PUBLISHED[label.split(",")[0]]
    return {"color": colour, "linestyle": "--", "linewidth": 1, "marker": "x", "zorder": 2}


def _legend(
    figure: Figure, study: Study, sources: Mapping[str, None], reductions: bool = False
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
