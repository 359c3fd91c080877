"""The report's sections on stability: among similar images, and in the worst case."""

import math
from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from pipeline.claims import evidence, wording
from pipeline.claims.results import NEIGHBOURS, ExperimentResults
from pipeline.claims.wording import lambda_label
from pipeline.reporting import style
from pipeline.reporting.common import (
    CERTIFIED,
    EXACT,
    LOWER,
    examples_at,
    largest_found,
    metric_table,
    over_seeds,
    per_experiment,
    raw,
)
from pipeline.reporting.display import Part, Picture, Prose, Table

RANDOM_OTHERS = 3
NEIGHBOUR_COLUMNS = {
    "relevances": "relevances",
    "within_class": "same class",
    "concepts": "concepts",
}
STABILITY = {
    "accuracy": "accuracy, %",
    "robustness_loss": "robustness loss",
    "lipschitz_discrete": "Lipschitz, test points",
    "lipschitz_local": "Lipschitz, box",
    EXACT: "Lipschitz, input",
    "faithfulness_relevance": "faithfulness, relevance",
    "faithfulness_contribution": "faithfulness, contribution",
}


@per_experiment("This run has no concepts learned from images.")
def neighbours(experiment: ExperimentResults) -> Iterator[Part]:
    """Distances of neighbours relative to random pairs, and examples, per image experiment."""
    if not (experiment.has_images and experiment.learns_concepts):
        return
    if reason := experiment.why_no_latent_space:
        yield Prose(f"Neighbours are searched for in pixel space only: {reason}.")
    yield _ratios(experiment)
    yield _picture(experiment)


def _ratios(experiment: ExperimentResults) -> Table:
    rows = []
    for space, studies in experiment.neighbour_studies.items():
        row = [space]
        for field in NEIGHBOUR_COLUMNS:
            measured = evidence.ratios([getattr(study, field) for study in studies])
            text = str(measured) if measured.values else wording.MISSING
            interval = measured.interval
            row.append(f"{text}\n{wording.bounds(interval)}" if interval else text)
        rows.append(row)
    return Table(("nearest in", *NEIGHBOUR_COLUMNS.values()), rows, marked=frozenset({0}))


def _picture(experiment: ExperimentResults) -> Picture:
    data, output, anchors = experiment.data, experiment.test_outputs[0], examples_at(experiment)
    space, (study, *_) = next(iter(experiment.neighbour_studies.items()))
    groups = []
    for anchor in anchors.tolist():
        others = torch.randperm(len(data.test), generator=torch.Generator().manual_seed(anchor))
        others = others[others != anchor][:RANDOM_OTHERS]
        groups.append(torch.cat([torch.tensor([anchor]), study.neighbours[anchor], others]))
    shown, labels = torch.stack(groups), output.logits[anchors].argmax(1, keepdim=True)
    figure = neighbour_relevances(
        raw(data.test.x[shown], data).numpy(),
        output.relevances[shown, :, labels].numpy(),
        f"Neighbours in {space}, and random others",
    )
    alt = (
        f"{len(anchors)} test images of {experiment.name}, each with its {NEIGHBOURS} nearest "
        f"neighbours in {space} and {RANDOM_OTHERS} random others, above heat maps of their "
        "relevances."
    )
    caption = (
        "Below each image are the relevances of its concepts, a row each, for the class predicted "
        f"for the first image of the row. If explanations are stable, the {NEIGHBOURS} neighbours’ "
        "are like those of the first."
    )
    return Picture(figure, f"neighbours_{experiment.name}", alt, caption)


@per_experiment()
def stability(experiment: ExperimentResults) -> Iterator[Part]:
    """Stability and faithfulness, a table and a figure per experiment."""
    yield over_seeds(experiment)
    yield metric_table(experiment, STABILITY)
    if (experiment.cells.filter([LOWER, EXACT, CERTIFIED]) > 0).any(axis=None):
        yield _certified(experiment)


def _certified(experiment: ExperimentResults) -> Picture:
    headline = experiment.headline
    lower, certified = largest_found(headline).mean(), headline[CERTIFIED].mean()
    title = f"Worst ratio at λ = {lambda_label(experiment.robust_reg)}: "
    if math.isnan(certified):
        title += f"at least {wording.significant(lower)}"
    else:
        title += f"{wording.significant(lower)} to {wording.significant(certified)}"
    return Picture(
        certified_stability(experiment.cells, title),
        f"stability_{experiment.name}",
        f"{title}. Against λ, a band from the largest ratio found to the certified bound, and the "
        "exact ratio at the example; column “Lipschitz, input” above has "
        "the same numbers.",
        f"Medians over test examples, means over {wording.counted(len(experiment.seeds), 'seed')}. "
        "Rings are seeds; those of 0 count in the means alone.",
    )


@style.styled
def neighbour_relevances(images: np.ndarray, relevances: np.ndarray, title: str) -> Figure:
    """A row of images per example, above a heat map of relevances, on one colour scale.

    Each row is an image, its nearest neighbours and random others.

    Parameters
    ----------
    images : pixels in [0, 1], (rows, 1 + NEIGHBOURS + others, channels, height, width).
    relevances : (rows, 1 + NEIGHBOURS + others, K), for the class predicted for the first.
    """
    _, total, concepts = relevances.shape
    left, top, gap, bottom = 0.28, 0.28, 0.16, 0.5
    side = (style.WIDTH - left - 2 * gap) / total
    heat = 0.12 * concepts
    row = side + heat + 0.14
    below = top + len(images) * row
    figure, paper = style.canvas(below + bottom, title)
    lefts = [left + i * side + gap * ((i > 0) + (i > NEIGHBOURS)) for i in range(total)]
    for column, name in (
        (0, "this"),
        (1, "its nearest neighbours"),
        (NEIGHBOURS + 1, "random others"),
    ):
        paper.text(lefts[column], top - 0.05, name, fontsize=8.5)
    limit = float(np.abs(relevances).max()) or 1.0
    norm = mpl.colors.Normalize(-limit, limit)
    for index in range(len(images)):
        down = top + index * row
        for concept in range(concepts):
            middle = down + side + (concept + 0.5) * heat / concepts
            style.label_row(paper, left - 0.03, middle, f"h{concept + 1}", 7)
        for column, x in enumerate(lefts):
            style.show_image(paper, images[index, column], (x, down, side))
            extent = (x + 0.015, x + side - 0.015, down + side + heat, down + side)
            values = relevances[index, column, :, np.newaxis]
            paper.imshow(values, cmap=style.DIVERGING, norm=norm, extent=extent, aspect="auto")
    bar = style.colour_bar(figure, norm, (left, below + 0.02, 1.8, 0.09))
    tick = style.nice_tick(limit)
    bar.set_ticks([-tick, 0, tick], labels=[wording.number(v) for v in (-tick, 0, tick)])
    bar.set_label("relevance", fontsize=8)
    return figure


@style.styled
def certified_stability(cells: pd.DataFrame, title: str) -> Figure:
    """The range of the worst ratio, from found to certified, as a band against λ.

    The exact ratio at the example is a dot, that of each seed a ring. The logarithmic axis leaves
    out what is 0 or undefined; seeds of 0 count in the means.

    Parameters
    ----------
    cells : one row per cell: robust_reg, seed, and the three ratios, at least one of them > 0.
    """
    figure = style.new_figure(2.8, title)
    axes = figure.subplots()
    cells = cells.assign(**{LOWER: largest_found(cells)})
    ratios = cells[[LOWER, EXACT, CERTIFIED]]
    means = ratios.groupby(cells["robust_reg"]).mean()
    means, ratios = means.where(means > 0), ratios.where(ratios > 0)
    lambdas = list(means.index)
    axes.fill_between(
        lambdas, means[LOWER], means[CERTIFIED], color=style.BLUE, alpha=0.13, linewidth=0
    )
    axes.vlines(lambdas, means[LOWER], means[CERTIFIED], color=style.BLUE, linewidth=0.8)
    for name, marker, label in (
        (CERTIFIED, "v", "certified, never exceeded"),
        (LOWER, "^", "largest found"),
    ):
        axes.plot(lambdas, means[name], color=style.BLUE, marker=marker, linewidth=0.8, label=label)
        for value, mean in zip(lambdas, means[name], strict=True):
            if not math.isnan(mean):
                text = f"λ = {lambda_label(value)}, {label}: {wording.significant(mean)}"
                style.spot(axes, value, mean, text)
    exact: dict[str, Any] = {"linestyle": "", "marker": "o", "color": style.VERMILION}
    axes.plot(lambdas, means[EXACT], markersize=4.5, label="exact, at the example", **exact)
    axes.plot(
        cells["robust_reg"],
        ratios[EXACT],
        markersize=3.2,
        markerfacecolor="white",
        markeredgewidth=0.7,
        zorder=1.9,
        **exact,
    )
    axes.set_yscale("log")
    decades = math.log10(ratios.max().max() / ratios.min().min())
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 2.5 else (1,)))
    axes.yaxis.set_major_formatter(lambda value, _: lambda_label(value))
    axes.yaxis.set_minor_formatter(NullFormatter())
    style.lambda_axis(axes, lambdas)
    axes.set_ylabel("change of relevances\nper change of input")
    axes.legend(loc="best")
    return figure
