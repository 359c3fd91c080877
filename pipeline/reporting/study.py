"""The report's sections on the study: what each definition of the robustness loss costs."""

import math
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, TypeAlias

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pipeline.claims import wording
from pipeline.claims.comparison import Comparison
from pipeline.claims.published import published_at, with_article
from pipeline.claims.results import ExperimentResults
from pipeline.claims.wording import lambda_label
from pipeline.core.params_choices import VARIANTS
from pipeline.metrics.intervals import Interval, lies_in
from pipeline.reporting import style
from pipeline.reporting.common import per_experiment
from pipeline.reporting.display import Part, Picture, Prose, Table
from pipeline.study.definitions import Definition
from pipeline.study.measured import AXES, MeasuredStudy, of_draws
from pipeline.study.predictions import Prediction, predictions
from pipeline.study.published import (
    PUBLISHED_RANGES,
    Nearness,
    PublishedCurve,
    PublishedLoss,
    PublishedRange,
    nearness,
    published_along,
    published_losses,
)

Compared: TypeAlias = Sequence[tuple[PublishedLoss, list[Nearness]]]

RESAMPLES = 1000  # of the seeds, for the intervals
BOUGHT = {  # columns of the cells that λ is meant to lower
    "robustness_loss": "test robustness loss",
    "lipschitz_discrete": "Lipschitz ratio, test points",
}
_AXIS_NAMES = {
    "robust_reg": "λ as published",
    "per_example": "√B · λ under batch, λ under example",
    **BOUGHT,
}
_POSSIBLE = 0.05  # of the draws, shared by the rivals of the nearest definition (Bonferroni)
_PUBLISHED_BATCH_SIZE = 200  # the review's, of both SENNs
_BOUND = (
    " Dotted vertical line, if within the axis: from this λ on, a constant prediction is the "
    "optimum of review2020."
)
# By position in the list of variants, so that a new variant gets a look too.
_COLOURS = (style.GREEN, style.VERMILION, style.BLUE, *style.FURTHER)
COLOURS = dict(zip(VARIANTS, _COLOURS, strict=False))
_MARKERS = dict(zip(VARIANTS, "osD^vX", strict=False))
_REFERENCES = {  # name, and how many points above the line to write it
    "linear_accuracy": ("linear classifier", -8),
    "majority_accuracy": ("constant classifier", 3),
}
_BESIDE = 0.07  # decades between the variants' bars at one λ


@per_experiment("This run has no study.")
def findings(experiment: ExperimentResults) -> Iterator[Part]:
    """What follows from each study: whose curve is whose, and which axis is fair."""
    if experiment.name in experiment.params.study:
        study, compared = compared_with_published(experiment)
        definitions = wording.counted(len(study.definitions()), "definition")
        seeds = wording.counted(study.cells["seed"].nunique(), "seed")
        about = (
            f"{len(study.cells)} models: {definitions}, λ = {wording.lambdas(study.lambdas)}, "
            f"{seeds}, batches of {study.settings.batch_size}."
        )
        yield Prose("\n\n".join([*conclusions(experiment, study, compared), about]))


@per_experiment("This run has no study.")
def disagreement(experiment: ExperimentResults) -> Iterator[Part]:
    """Each study's curves, predictions with their outcomes, and distances."""
    if experiment.name in experiment.params.study:
        study, compared = compared_with_published(experiment)
        yield from _pictures(experiment.name, study)
        rows = [(*predicted(study, p), p.outcome) for p in predictions(study)]
        yield Table(("prediction", "measured", "outcome"), rows, kind="claims")
        yield _definitions(experiment.name, study, compared)
        yield _axes(study)


@cache
def compared_with_published(experiment: ExperimentResults) -> tuple[MeasuredStudy, Compared]:
    """The study of an experiment, and how near its curves are to each published one."""
    study = MeasuredStudy(experiment.settings, experiment.study, RESAMPLES)
    published = published_losses(experiment.name, study.lambdas)
    return study, [(one, nearness(study, one)) for one in published]


def _pictures(name: str, study: MeasuredStudy) -> Iterator[Picture]:
    most = study.lambdas[-1]
    lost = {d: 100 * row[0, 0] for d, row in study.curves.lost([most]).items()}
    ends = wording.minus(f"{min(lost.values()):.1f} to {max(lost.values()):.1f}")
    curves = list(published_along(name).values())
    ranges = [span for span in PUBLISHED_RANGES if span.experiment == name]
    seeds = wording.counted(study.cells["seed"].nunique(), "seed")
    labels = [curve.label for curve in curves] + [span.label for span in ranges]
    title = f"What λ = {lambda_label(most)} costs: {ends} points"
    each = "; ".join(f"{d} {wording.minus(f'{points:.1f}')}" for d, points in lost.items())
    yield Picture(
        accuracy_by_definition(study, curves, ranges, title),
        f"study_lambda_{name}",
        f"Accuracy against λ by definition of the robustness loss. Points lost: {each}.",
        f"Solid: this run, means over {seeds} with the 95 % intervals by which claims are "
        f"judged. Dashed: published ({'; '.join(labels)})."
        + (_BOUND if any(key.startswith("constant_from") for key in study.references) else ""),
    )
    yield Picture(
        accuracy_against(study),
        f"study_axes_{name}",
        "Accuracy of every model against its test robustness loss, in the paper’s definition, and "
        "against its Lipschitz ratio between test points, coloured by the variant it was trained "
        "with; the table of axes below has the distances between the curves.",
        f"Dots are models. Lines join means over {seeds} by rising λ, from right to left as long "
        "as "
        "λ lowers the quantity. Values below a ten-thousandth of the largest are drawn there.",
    )


def _definitions(name: str, study: MeasuredStudy, compared: Compared) -> Table:
    """Accuracy lost by definition, and the distance of its curve from the published ones.

    Where published accuracies are for the largest λ and this dataset, which of them it gets.
    """
    most = study.lambdas[-1]
    numbers = published_at(name, study.settings.dataset, most)
    rows = []
    for definition in study.definitions():
        here = study.lost_at(definition, most)
        row = [str(definition), f"{wording.points(here.mean)}\n{wording.bounds(here, 100, 1)}"]
        for _, ranked in compared:
            (place,) = [one for one in ranked if one.definition == definition]
            row.append(_two_lines(place.distance))
        if numbers:
            there = Comparison(study.accuracy_at(definition, most), numbers)
            accuracy = f"{wording.percent(there.here.mean)}\n{wording.bounds(there.here, 100, 1)}"
            row.append(f"{accuracy}\n{there.sentence()}")
        rows.append(row)
    header = ["definition", f"points lost, λ\u00a0=\u00a0{lambda_label(most)}"]
    header += [f"distance from {with_article(one.source)}’s curve" for one, _ in compared]
    if numbers:
        header.append(f"accuracy, λ\u00a0=\u00a0{lambda_label(most)}")
    return Table(header, rows)


def _axes(study: MeasuredStudy) -> Table:
    rows = [
        (
            _AXIS_NAMES[axis],
            *(_two_lines(of_draws(study.errors[axis, across])) for across in study.comparisons),
        )
        for axis in AXES
    ]
    return Table(("axis", *(f"points between {across}s" for across in study.comparisons)), rows)


def _two_lines(error: Interval) -> str:
    return f"{error.mean:.1f}\n{wording.bounds(error, decimals=1)}"


def predicted(study: MeasuredStudy, prediction: Prediction) -> tuple[str, str]:
    """A prediction and what was measured, each as a text."""
    about, first = prediction.about, prediction.measured[0]
    most, expected = lambda_label(study.lambdas[-1]), wording.percent(prediction.expected)
    match prediction.kind:
        case "a batch weighs √B":
            return (
                f"{about}: λ weighs √{study.settings.batch_size} = {prediction.expected:.1f} times "
                "as much under batch as under example",
                f"{first.mean:.1f} times\n{wording.bounds(first, decimals=1)}",
            )
        case "linear is free":
            return (
                f"{about}: λ = {most} keeps at least the accuracy of a linear classifier, "
                f"{expected}",
                f"{wording.percent(first.mean)}\n{wording.bounds(first, 100, 1)}",
            )
        case "constant in the end":
            return (
                f"{about}: from λ = {prediction.bound:.2g} on, a constant prediction is the "
                f"optimum, and accuracy is a constant classifier’s, {expected}",
                f"{wording.listed([wording.percent(here.mean) for here in prediction.measured])}\n"
                f"at λ = {wording.lambdas(prediction.lambdas)}\n"
                + ", ".join(wording.bounds(here, 100, 1) for here in prediction.measured),
            )
        case "review costs more":
            more, low, high = (wording.minus(f"{100 * value:+.1f}") for value in first)
            return (
                f"{about}: λ = {most} costs more accuracy under review2020 than under paper2018",
                f"{more} points\n{low} to {high}",
            )
        case "one trade-off":
            return (
                "At equal test robustness loss, variants differ less in accuracy than at equal λ",
                f"{first.mean:.2f} times as much\n{wording.bounds(first)}",
            )


def conclusions(
    experiment: ExperimentResults, study: MeasuredStudy, compared: Compared
) -> list[str]:
    """What the numbers show, in Markdown, a paragraph each."""
    paragraphs = [conclusion(published, ranked) for published, ranked in compared]
    if study.comparisons:
        paragraphs.append(_fair_axis(study))
    size = study.settings.batch_size
    if size != _PUBLISHED_BATCH_SIZE:
        ratio = math.sqrt(size / _PUBLISHED_BATCH_SIZE)
        paragraphs.append(
            f"Batches have {size} examples here and had {_PUBLISHED_BATCH_SIZE} in the review. If "
            f"λ weighs √B under batch, λ = 1 here corresponds to λ = {ratio:.2g} there."
        )
    if experiment.learns_concepts:
        paragraphs.append(_shrinking(study))
    return paragraphs


def conclusion(published: PublishedLoss, ranked: Sequence[Nearness]) -> str:
    """Which definitions reproduce one published curve, in Markdown.

    Parameters
    ----------
    ranked : as `nearness` returns them.
    """
    first, source = ranked[0], with_article(published.source)
    curve, possible = f"{source}’s curve", closest(ranked)
    if len(possible) > 1:
        names = wording.listed(possible)
        text = (
            f"**{names} come closest to {curve}; the seeds cannot tell them apart.** The first is "
            f"{_distance(first)} away."
        )
    else:
        text = (
            f"**`{first.definition}` comes closest to {curve}**: it is {_distance(first)} away, "
            f"the nearest in {_share(first.nearest)} draws."
        )
        if len(ranked) > 1:
            text += f" Next is `{ranked[1].definition}`, {_distance(ranked[1])} away."
    most, (low, high) = published.lambdas[-1], (published.low[-1], published.high[-1])
    lost = f"{'' if low == high else 'at most '}{wording.points(high)} points"
    if inside := [one for one in ranked if one.inside]:
        intervals = wording.listed([f"`{one.definition}` ({_lost(one)})" for one in inside])
        return (
            f"{text} The loss of {lost} that was published by {source} at λ = {lambda_label(most)} "
            f"lies within the interval{'s' if len(inside) > 1 else ''} of {intervals}."
        )
    return (
        f"{text} **But no definition reproduces it**: {source} lost {lost} at "
        f"λ = {lambda_label(most)}, `{first.definition}` {_lost(first)}."
    )


def closest(ranked: Sequence[Nearness]) -> list[str]:
    """The nearest definition, and those that the seeds do not tell apart from it, in Markdown."""
    least = _POSSIBLE / (len(ranked) - 1) if len(ranked) > 1 else 1
    possible = [ranked[0], *(one for one in ranked[1:] if one.nearest >= least)]
    return [f"`{one.definition}`" for one in possible]


def _lost(one: Nearness) -> str:
    return f"{wording.points(one.here.mean)} points, {wording.bounds(one.here, 100, 1)}"


def _share(share: float) -> str:
    return "all" if share == 1 else f"{wording.probability(share)} of the"


def _distance(one: Nearness) -> str:
    return wording.with_bounds(f"{one.distance.mean:.1f} points", one.distance, decimals=1)


def _fair_axis(study: MeasuredStudy) -> str:
    """On which axis the curves can be compared, as far as the numbers say."""
    sentences = ["**A fair axis for λ.**"]
    if "reduction" in study.comparisons:
        weight = study.errors["robust_reg", "reduction"]
        per_example = study.errors["per_example", "reduction"]
        sentences.append(
            f"Between reductions, curves differ by {weight[0]:.1f} points at equal λ and by "
            f"{per_example[0]:.1f} at equal √B · λ"
            + _verdict(
                of_draws(weight - per_example),
                ", so λ should be stated per example, whatever the reduction.",
                ", so the weight √B does not explain the difference.",
            )
        )
    if "variant" in study.comparisons:
        weight = study.errors["robust_reg", "variant"]
        errors = {axis: study.errors[axis, "variant"] for axis in BOUGHT}
        best = min(errors, key=lambda axis: errors[axis][0])
        sentences.append(
            f"Between variants, they differ by {weight[0]:.1f} points at equal λ and by "
            f"{errors[best][0]:.1f} at equal {BOUGHT[best]}, the better of the two measured axes"
            + _verdict(
                of_draws(weight - errors[best], len(errors)),
                ", so that is the axis on which to compare them.",
                ". So no axis tried here is fair to all variants: they are different losses, not "
                "one loss in different units, and only whole curves can be compared.",
            )
        )
    return " ".join(sentences)


def _verdict(gain: Interval, closer: str, farther: str) -> str:
    said = {"supported": closer, "not supported": farther}
    return said.get(lies_in(gain, 0, math.inf), ", a difference within chance.")


def _shrinking(study: MeasuredStudy) -> str:
    """How the mean size of learned concepts changes from the smallest to the largest λ."""
    size = 10 ** study.curves.axis("concept_sparsity")[0]
    along = [size[of_it] for _, of_it in study.curves.definitions()]
    shares = [float(of_one[-1] / of_one[0]) for of_one in along]
    low, high = min(shares), max(shares)
    return (
        f"Learned concepts {'shrink' if high < 1 else 'change'}: at λ = "
        f"{lambda_label(study.lambdas[-1])} their mean |h| is {wording.percent(low, 0)} to "
        f"{wording.percent(high, 0)} of that at λ = {lambda_label(study.lambdas[0])}, depending on "
        "the definition. The loss is proportional to the size of the concepts, so shrinking them "
        "lowers it without making any relevance more stable."
    )


@style.styled
def accuracy_by_definition(
    study: MeasuredStudy,
    curves: Sequence[PublishedCurve],
    ranges: Sequence[PublishedRange],
    title: str,
) -> Figure:
    """Accuracy against λ: a panel per reduction, a line per variant, its 95 % intervals as bars.

    Published `curves` and `ranges` are dashed, in every panel, in the colour of the variant that
    their authors meant to compute.
    """
    reductions = list(study.cells["reduction"].unique())
    lambdas = study.lambdas
    figure = style.new_figure(3.3, title)
    row = figure.subplots(1, len(reductions), sharey=True, squeeze=False)[0]
    for axes, reduction in zip(row, reductions, strict=True):
        axes.set_title(reduction)
        for name, (label, above) in _REFERENCES.items():
            if name in study.references:
                _draw_reference(axes, study.references[name], label, above)
        for published in curves:
            axes.plot(*zip(*published.means.items(), strict=True), **_dashed(published.label))
        for span in ranges:
            ends, middle = [max(span.from_lambda, lambdas[0]), span.to_lambda], span.low + span.high
            axes.plot(ends, [middle / 2] * 2, **_dashed(span.label))
        here = [one for one in study.definitions() if one.reduction == reduction]
        for place, definition in enumerate(here):
            places = np.array(lambdas) * 10 ** (_BESIDE * (place - (len(here) - 1) / 2))
            measured = [study.accuracy_at(definition, value) for value in lambdas]
            for x, value, at in zip(places, lambdas, measured, strict=True):
                mean = wording.share(at)
                text = f"{definition}, λ = {lambda_label(value)}: {mean}"
                style.spot(axes, x, at.mean, text)
            style.intervals(
                axes,
                places,
                measured,
                color=COLOURS[definition.variant],
                marker=_MARKERS[definition.variant],
                elinewidth=0.9,
                capsize=2,
                zorder=3,
            )
        bound = study.references.get(f"constant_from_{reduction}", np.inf)
        if Definition("review2020", reduction) in here and bound <= lambdas[-1]:
            axes.axvline(bound, color=COLOURS["review2020"], linewidth=0.8, linestyle=":")
        style.lambda_axis(axes, lambdas)
        axes.set_xticks(lambdas, [_power(value) for value in lambdas])
        axes.set_xlabel("λ")
        style.percent_ticks(axes.yaxis)
    row[0].set_ylim(top=min(1.02, row[0].get_ylim()[1]))
    row[0].set_ylabel("test accuracy")
    labels = [curve.label for curve in curves] + [span.label for span in ranges]
    sources = dict.fromkeys(label.split(",")[0] for label in labels)
    handles = [Line2D([], [], label=f"{name}, published", **_dashed(name)) for name in sources]
    _legend(figure, study, handles)
    return figure


@style.styled
def accuracy_against(study: MeasuredStudy) -> Figure:
    """Accuracy against what λ is meant to lower, a panel each.

    Dots are models; lines join means over seeds by rising λ.
    """
    figure = style.new_figure(3.3, "Accuracy against what λ buys")
    row = figure.subplots(1, len(BOUGHT), sharey=True)
    looks = {"batch": ("-", style.GREY), "example": (":", "white")}
    for axes, (column, name) in zip(row, BOUGHT.items(), strict=True):
        cells, means = 10 ** study.curves.by_seed(column), 10 ** study.curves.axis(column)[0]
        for definition, of_it in study.curves.definitions():
            colour, is_batch = COLOURS[definition.variant], definition.reduction == "batch"
            dots: dict[str, Any] = {"linestyle": "", "marker": ".", "markersize": 2.5}
            accuracies = study.curves.accuracies[of_it]
            axes.plot(cells[of_it].ravel(), accuracies.ravel(), color=colour, alpha=0.35, **dots)
            axes.plot(
                means[of_it],
                study.curves.accuracy[0, of_it],
                color=colour,
                marker=_MARKERS[definition.variant],
                markerfacecolor=colour if is_batch else "white",
                linestyle=looks[definition.reduction][0],
                linewidth=1.2,
                zorder=3,
            )
        axes.set_xscale("log")
        axes.minorticks_off()
        axes.xaxis.set_major_locator(mpl.ticker.LogLocator(numticks=5))
        axes.set_xlabel(name)
        style.percent_ticks(axes.yaxis)
    row[0].set_ylabel("test accuracy")
    handles = [
        Line2D([], [], color=style.GREY, marker="o", ls=line, mfc=face, label=reduction)
        for reduction, (line, face) in looks.items()
        if reduction in set(study.cells["reduction"])
    ]
    _legend(figure, study, handles)
    return figure


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


def _dashed(label: str) -> dict[str, Any]:
    """How a published curve is drawn, by the source that its label starts with."""
    colour = style.SOURCES[label.split(",")[0]]
    return {"color": colour, "linestyle": "--", "linewidth": 1, "marker": "x", "zorder": 2}


def _legend(figure: Figure, study: MeasuredStudy, others: Sequence[Line2D]) -> None:
    variants = [
        Line2D([], [], color=COLOURS[variant], marker=_MARKERS[variant], label=variant)
        for variant in study.cells["variant"].unique()
    ]
    handles = [*variants, *others]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, columnspacing=1.2)


def _power(value: float) -> str:
    """λ in little enough room to have five of them side by side."""
    exponent = round(np.log10(value))
    if exponent < -1 and np.isclose(value, 10.0**exponent):
        return wording.power_of_ten(exponent)
    return lambda_label(value)
