"""The report's sections on the worst case: bounds of the local Lipschitz constant, attacks."""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator

from pipeline.claims import wording
from pipeline.claims.results import ExperimentResults
from pipeline.claims.wording import lambda_label
from pipeline.explanations.senn import relevances
from pipeline.metrics.attacks import attacked_images
from pipeline.reporting import style
from pipeline.reporting.common import examples_at, per_experiment, raw
from pipeline.reporting.display import Part, Picture, Prose, Table

FACTOR = 2.0  # up to which found and certified are near
_DIGITS = 3
_QUANTITIES = {
    "anchor": "at the example",
    "found": "found",
    "exact": "exact",
    "certified": "certified",
    "certified_ratio": "ratio",
    "intervals_ratio": "ratio by intervals",
}
_ATTACKED = {
    "concepts_between": "concepts,\nother classes",
    "concepts_within": "concepts,\nsame class",
    "relevances_between": "relevances,\nother classes",
    "relevances_within": "relevances,\nsame class",
}


@per_experiment()
def bounds(experiment: ExperimentResults) -> Iterator[Part]:
    """Found, exact and certified against the box's radius, a table and a figure per experiment."""
    of_radius = by_radius(experiment.worst_case, "certify")
    if of_radius.empty or "certified" not in of_radius:
        return
    yield Prose(_sentence(of_radius))
    yield _table(of_radius, "half width", _QUANTITIES)
    title = _title(of_radius)
    rows = experiment.worst_case
    examples = int(rows.loc[rows["measure"] == "certify", "examples"].iloc[0])
    yield Picture(
        bracket(of_radius, title),
        f"worst_case_{experiment.name}",
        f"{title}. Against the box’s half width: the largest ratio found, the certified bound, and "
        "the same by intervals alone; the table above has the numbers.",
        f"Medians over {examples} test examples. The larger the box, the farther apart the bounds.",
    )


@per_experiment("This run has no concepts learned from images.")
def attacks(experiment: ExperimentResults) -> Iterator[Part]:
    """How far an attack moves concepts and relevances, and three attacked images."""
    of_radius = by_radius(experiment.worst_case, "attack")
    if of_radius.empty:
        return
    rows = experiment.worst_case.query("measure == 'attack'").iloc[0]
    yield Prose(
        f"Medians over {rows.examples} test images, means over "
        f"{wording.counted(int(rows.seeds), 'seed')}."
    )
    yield _table(of_radius, "radius", _ATTACKED)
    radii = experiment.params.attack.radii
    radius = max((value for value in radii if value <= 0.2), default=radii[0])
    images, labels, values = attacked_digits(experiment, radius)
    title = f"The same predictions, attacked with radius {radius:g}"
    yield Picture(
        attacked(images, labels, values, title),
        f"attack_{experiment.name}",
        f"{len(images)} test images of {experiment.name} before and after an attack that keeps the "
        "prediction, and their concepts and relevances.",
        "Grey: before, as in the left image. Coloured: after, as in the right one. Relevances are "
        "those of the predicted class.",
    )


def by_radius(table: pd.DataFrame, measure: str) -> pd.DataFrame:
    """A row per radius, ascending; per quantity the columns value, value_low and value_high.

    What is exact for some examples only is left out: those with few patterns are no fair sample.
    """
    rows = table[table["measure"] == measure]
    rows = rows[(rows["quantity"] != "exact") | (rows["undefined"] == 0)]
    ends = rows.pivot(
        index="radius", columns="quantity", values=["value", "value_low", "value_high"]
    )
    return ends.swaplevel(axis=1).sort_index()


def widest(radii: Sequence[float], ratios: Sequence[float], factor: float) -> float:
    """The largest radius up to which the ratios are ≤ `factor`, between radii on log axes.

    Returns
    -------
    0 if the first ratio is larger already; the last radius if none is.
    """
    if not ratios[0] <= factor:
        return 0.0
    for (low, high), (below, above) in zip(pairwise(radii), pairwise(ratios), strict=True):
        if above > factor:
            share = math.log(factor / below) / math.log(above / below)
            return low * (high / low) ** share
    return radii[-1]


def _sentence(of_radius: pd.DataFrame) -> str:
    """Up to which radius the bounds are near, with linear bounds and without."""
    radii = of_radius.index.tolist()
    words = []
    for quantity, name in (("certified_ratio", "certified"), ("intervals_ratio", "by intervals")):
        radius = widest(radii, of_radius[quantity]["value"].tolist(), FACTOR)
        if radius == 0:
            words.append(f"{name}, in no box that was tried (from {radii[0]:g} on)")
        elif radius == radii[-1]:
            words.append(f"{name}, in all boxes, up to {radii[-1]:g}")
        else:
            words.append(f"{name}, up to {wording.significant(radius, 2)}")
    return (
        "Half width, in standard deviations of each feature, up to which the bound is at most "
        f"twice the largest value known: {'; '.join(words)}."
    )


def _title(of_radius: pd.DataFrame) -> str:
    radius = of_radius.index[-1]
    low, high = (of_radius[name]["value"].iloc[-1] for name in ("found", "certified"))
    if "exact" in of_radius and not math.isnan(exact := of_radius["exact"]["value"].iloc[-1]):
        return f"Largest ratio in boxes of {radius:g}: {wording.significant(exact)}, exactly"
    return (
        f"Largest ratio in boxes of {radius:g}: {wording.significant(low)} to "
        f"{wording.significant(high)}"
    )


def _table(of_radius: pd.DataFrame, header: str, quantities: dict[str, str]) -> Table:
    """Values, and below them their intervals."""
    present = {name: label for name, label in quantities.items() if name in of_radius}
    rows = []
    for radius, values in of_radius.iterrows():
        row = [f"{radius:g}"]
        for name in present:
            value, low, high = (values[name][end] for end in ("value", "value_low", "value_high"))
            row.append(
                wording.MISSING
                if math.isnan(value)
                else f"{wording.significant(value)}\n{wording.significant(low)} to "
                f"{wording.significant(high)}"
            )
        rows.append(row)
    labels = [label.replace("\n", " ") for label in present.values()]
    kind = "numbers wide" if len(present) > 5 else "numbers"
    return Table((header, *labels), rows, kind=kind)


@style.styled
def bracket(of_radius: pd.DataFrame, title: str) -> Figure:
    """Found and certified against the radius, with the band between them, on log axes.

    Parameters
    ----------
    of_radius : as `by_radius` makes it: found and certified, maybe exact and intervals.
    """
    figure = style.new_figure(2.8, title)
    axes = figure.subplots()
    radii = of_radius.index.to_numpy()
    names = of_radius.columns.get_level_values(0)
    values = {name: of_radius[name]["value"] for name in names}
    axes.fill_between(
        radii, values["found"], values["certified"], color=style.BLUE, alpha=0.13, linewidth=0
    )
    look: dict[str, Any] = {"linewidth": 0.8}
    if "intervals" in values:
        axes.plot(radii, values["intervals"], ":", color=style.GREY, marker="v", markersize=3,
                  label="certified by intervals alone", **look)  # fmt: skip
    for name, marker, label in (("certified", "v", "certified"), ("found", "^", "found")):
        axes.plot(radii, values[name], color=style.BLUE, marker=marker, label=label, **look)
    if "exact" in values:
        axes.plot(radii, values["exact"], "o", color=style.VERMILION, label="exact")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(radii, [lambda_label(radius) for radius in radii])
    axes.xaxis.set_minor_locator(NullLocator())
    spread = math.log10(max(v.max() for v in values.values()) / values["found"].min())
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if spread < 2.5 else (1,)))
    axes.yaxis.set_major_formatter(lambda value, _: lambda_label(value))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("half the box’s width, in standard deviations of each feature")
    axes.set_ylabel("change of relevances\nper change of input")
    axes.legend(loc="best")
    return figure


@torch.no_grad()
def attacked_digits(
    experiment: ExperimentResults, radius: float
) -> tuple[np.ndarray, list[list[str]], dict[str, np.ndarray]]:
    """The first test images of three classes, before and after the attack on the first model.

    Returns
    -------
    images : pixels in [0, 1], (N, 2, channels, height, width).
    labels : of each both the prediction and its probability.
    values : concepts, and relevances for the prediction, (N, 2, K) each.
    """
    model, data, settings = experiment.model, experiment.data, experiment.params.attack
    x = data.test.x[examples_at(experiment)[:_DIGITS]]
    radii = [value for value in settings.radii if value <= radius]
    with torch.enable_grad():
        *_, moved = attacked_images(model, data, x, radii, settings.steps)
    both = (x, moved)
    outputs = [model(points) for points in both]
    target = outputs[0].logits.argmax(1)
    shares = torch.stack([output.logits.softmax(1).amax(1) for output in outputs], 1)
    labels = [
        [f"{data.class_names[label]}\n{wording.probability(share)}" for share in of_it]
        for label, of_it in zip(target.tolist(), shares.tolist(), strict=True)
    ]
    values = {
        "concepts": [output.concepts for output in outputs],
        "relevances": [relevances(model, points, target) for points in both],
    }
    return (
        raw(torch.stack(both, 1), data).numpy(),
        labels,
        {field: torch.stack(pair, 1).numpy() for field, pair in values.items()},
    )


@style.styled
def attacked(
    images: np.ndarray,
    labels: Sequence[Sequence[str]],
    values: Mapping[str, np.ndarray],
    title: str,
) -> Figure:
    """A row per image: before, after, and both its concepts and its relevances as bars.

    Parameters
    ----------
    images, labels, values : as `attacked_digits` returns them.
    """
    side, top, gap = 0.95, 0.32, 0.42
    figure, paper = style.canvas(top + len(images) * (side + gap) - 0.1, title)
    left, width = 2 * side + 0.45, 1.0
    limits = {field: style.common_limit(of_all) for field, of_all in values.items()}
    for index, pair in enumerate(images):
        down = top + index * (side + gap)
        for place, image in enumerate(pair):
            across = 0.03 + place * (side + 0.06)
            style.show_image(paper, image, (across, down, side))
            paper.text(across, down - 0.05, labels[index][place], fontsize=7.2, linespacing=1.1)
        for column, (field, of_all) in enumerate(values.items()):
            axes = style.axes_at(figure, left + column * (width + 0.1), down, width, side)
            before, after = of_all[index]
            style.signed_bars(axes, after, limits[field])
            axes.barh(np.arange(len(before)), before, height=0.24, color=style.GREY, linewidth=0)
            if column == 0:
                style.name_concepts(axes, len(before))
            if index == 0:
                axes.set_title(field)
    return figure
