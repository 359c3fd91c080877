"""The report's sections on learned concepts: what they stand for, their quality, their overlap."""

import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from pipeline.claims import evidence
from pipeline.claims.results import ExperimentResults, Results
from pipeline.explanations.prototypes import (
    chance_purities,
    concept_filters,
    first_layer_filters,
    highest_activation,
    highest_contrast,
    purity,
)
from pipeline.metrics.concepts import correlation_matrix
from pipeline.metrics.intervals import TAILS, Interval
from pipeline.models.conceptizers import ConvConceptizer
from pipeline.reporting import style, wording
from pipeline.reporting.common import Part, per_experiment, raw
from pipeline.reporting.display import Picture, Prose, Several
from pipeline.reporting.stability import metric_table

QUALITY = {
    "reconstruction_mse": "reconstruction error",
    "concept_correlation": "correlation",
    "concept_sparsity": "sparsity",
}
_MOST_NUMBERED = 8  # concepts whose correlations can be told as numbers in the cells


class Chance(NamedTuple):
    """What a share would be by chance: its mean, and the range in which it mostly is."""

    mean: float
    low: float
    high: float


@per_experiment("This run has no concepts learned from images.")
def prototypes(experiment: ExperimentResults, results: Results) -> Iterator[Part]:
    """Prototypes by activation and contrast, and filters, of learned concepts of images."""
    if not (experiment.has_images and experiment.learns_concepts):
        return
    yield from _prototype_pictures(experiment, results.params.report.prototypes)
    if isinstance(experiment.model.conceptizer, ConvConceptizer):
        yield _filters(experiment, experiment.model.conceptizer)


@per_experiment("This run has no learned concepts.")
def quality(experiment: ExperimentResults, results: Results) -> Iterator[Part]:
    """Fidelity, diversity and sparsity of learned concepts, a table per experiment."""
    if experiment.learns_concepts:
        yield metric_table(results, experiment, QUALITY)


def correlations(results: Results) -> Several:
    """A heat map of the correlations between concepts, for every experiment that learns them."""
    parts: list[Picture] = []
    for experiment in results.experiments.values():
        if not experiment.learns_concepts:
            continue
        matrix = correlation_matrix(experiment.test_outputs[0].concepts).numpy()
        measured = evidence.correlations(experiment)
        mean = str(measured) if measured.values else "undefined"
        alt = (
            f"Heat map of the correlations r between the {len(matrix)} concepts of "
            f"{experiment.name}. The mean of |r| over pairs is {mean}."
        )
        over = _with_bounds(mean, measured.interval)
        caption = (
            f"Mean |r| over pairs and {wording.counted(len(measured.values), 'seed')}: {over}."
        )
        figure = correlation_heat_map(matrix, f"{experiment.name}: mean |r| {mean}")
        name = f"correlations_{experiment.name}"
        parts.append(Picture(figure, name, alt, caption if measured.values else "", small=True))
    nothing = Prose("There are no concepts whose correlation could be shown.")
    return Several(parts or [nothing])


def _prototype_pictures(experiment: ExperimentResults, count: int) -> list[Picture]:
    data, concepts = experiment.data, experiment.test_outputs[0].concepts
    by_chance = chance_purities(data.test.y, count)
    chance = Chance(
        by_chance.mean().item(),
        by_chance.quantile(TAILS[0], interpolation="lower").item(),
        by_chance.quantile(TAILS[1], interpolation="higher").item(),
    )
    over_seeds = evidence.purities(experiment, count)
    ways: dict[str, tuple[str, Callable[[Tensor, int], Tensor]]] = {
        "activation": ("What activates each concept most", highest_activation),
        "contrast": ("What activates each concept, and not the others", highest_contrast),
    }
    pictures = []
    for way, (title, choose) in ways.items():
        chosen = choose(concepts, count)
        images = raw(data.test.x[chosen], data).numpy()
        pure = purity(chosen, data.test.y)
        commonest = data.test.y[chosen].mode(1).values
        shown = chosen.shape[1]
        notes = [
            f"{round(float(share) * shown)} of {shown} are {data.class_names[int(label)]}"
            for share, label in zip(pure, commonest, strict=True)
        ]
        alt = f"{title}: {shown} test images per concept. Commonest class: {wording.listed(notes)}."
        caption = (
            "Dots: the share of the commonest class in a row. Grey: its mean and 95 % range in "
            f"rows of {shown} random images, {_percent_and_range(chance)}. "
            f"Mean of these rows: {100 * pure.mean():.0f} %"
        )
        if way == "activation" and len(over_seeds.values) > 1:
            mean = f"{100 * statistics.fmean(over_seeds.values):.0f} %"
            caption += f"; over all seeds {_with_bounds(mean, over_seeds.interval, 100, 0)}"
        figure = prototype_grid(images, notes, pure.numpy(), chance, title)
        name = f"prototypes_{way}_{experiment.name}"
        pictures.append(Picture(figure, name, alt, f"{caption}."))
    return pictures


def _filters(experiment: ExperimentResults, conceptizer: ConvConceptizer) -> Picture:
    figure = filter_grid(
        first_layer_filters(conceptizer).mean(1).numpy(),
        concept_filters(conceptizer).numpy(),
        "What the encoder’s filters look for",
    )
    alt = "Filters of the encoder’s first layer, and each concept’s filter in its last."
    caption = (
        "First row: filters on pixels. Below: each concept’s filter, one slice per filter of "
        "the layer before. Blue weights are positive, vermilion ones negative."
    )
    return Picture(figure, f"filters_{experiment.name}", alt, caption)


def _percent_and_range(chance: Chance) -> str:
    return f"{100 * chance.mean:.0f} % ({100 * chance.low:.0f} to {100 * chance.high:.0f})"


def _with_bounds(mean: str, interval: Interval | None, scale: float = 1, decimals: int = 2) -> str:
    return f"{mean} ({wording.bounds(interval, scale, decimals)})" if interval else mean


@style.styled
def prototype_grid(
    images: np.ndarray, notes: Sequence[str], shares: np.ndarray, chance: Chance, title: str
) -> Figure:
    """One row of prototypes per concept, and how many of them are of one class.

    Parameters
    ----------
    images : pixels in [0, 1], (K, count, channels, height, width), best first.
    notes : one per concept, written at the end of its row.
    shares : (K,), of the commonest class in each row; `chance` is what they are compared with.
    """
    concepts, count = images.shape[:2]
    left, right, top, scale = 0.28, 1.6, 0.08, 0.5
    side = (style.WIDTH - left - right) / count
    below = top + concepts * side
    figure, paper = style.canvas(below + 0.24, title)
    zero = style.WIDTH - scale - 0.22

    paper.add_patch(
        Rectangle(
            (zero + scale * chance.low, top),
            scale * (chance.high - chance.low),
            below - top,
            color=style.FAINT,
            linewidth=0,
        )
    )
    paper.plot([zero + scale * chance.mean] * 2, [top, below], color=style.GREY, linewidth=0.8)
    paper.plot([zero, zero + scale], [below, below], color=style.GREY, linewidth=0.6)
    for share, text in ((0, "0"), (1, "100 %")):
        paper.text(zero + scale * share, below + 0.04, text, ha="center", va="top", fontsize=7.5)

    for concept, index in np.ndindex(concepts, count):
        place = (left + index * side, top + concept * side, side)
        style.show_image(paper, images[concept, index], place)
    for concept, (note, share) in enumerate(zip(notes, shares, strict=True)):
        middle = top + (concept + 0.5) * side
        _label_row(paper, left, middle, f"h{concept + 1}")
        paper.text(style.WIDTH - right + 0.07, middle, note, va="center", fontsize=8)
        paper.plot(zero + scale * share, middle, "o", color=style.BLUE)
    return figure


@style.styled
def filter_grid(first_layer: np.ndarray, per_concept: np.ndarray, title: str) -> Figure:
    """The first layer's filters, and below them each concept's filter, slice by slice.

    Parameters
    ----------
    first_layer : (filters, size, size); of colour images, the mean over channels.
    per_concept : (K, channels, size, size), one slice per filter of the layer before.
    """
    channels = per_concept.shape[1]
    left, top, gap = 0.45, 0.08, 0.04
    side = (style.WIDTH - left) / max(len(first_layer), channels)
    rows = [first_layer, *per_concept]
    figure, paper = style.canvas(top + (len(rows) + 0.3) * side, title)
    for index, filters in enumerate(rows):
        limit = np.abs(filters).max() or 1
        down = top + (index + (0.3 if index else 0)) * side
        _label_row(paper, left, down + (side - gap) / 2, f"h{index}" if index else "pixels")
        for column, weights in enumerate(filters):
            extent = style.square(left + column * side, down, side - gap)
            norm = Normalize(-limit, limit)
            paper.imshow(weights, extent=extent, aspect="auto", cmap=style.DIVERGING, norm=norm)
    return figure


def _label_row(paper: Axes, right: float, middle: float, text: str) -> None:
    paper.text(right - 0.05, middle, text, ha="right", va="center", fontsize=8.5)


@style.styled
def correlation_heat_map(matrix: np.ndarray, title: str) -> Figure:
    """Correlations between concepts, from -1 to 1.

    Parameters
    ----------
    matrix : (K, K); NaN, which is left grey, for constant concepts.
    """
    count = len(matrix)
    figure = style.new_figure(2.9, title, style.SMALL_WIDTH)
    axes = figure.subplots()
    axes.set_facecolor(style.FAINT)
    image = axes.imshow(matrix, cmap=style.DIVERGING, vmin=-1, vmax=1)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    if count <= _MOST_NUMBERED:
        names = [f"h{index + 1}" for index in range(count)]
        axes.set_xticks(range(count), names)
        axes.set_yticks(range(count), names)
        axes.tick_params(length=0)
        for (row, column), value in np.ndenumerate(matrix):
            if row != column:
                shown = round(value, 2) + 0.0  # no negative zero
                text = "–" if np.isnan(value) else f"{shown:.2f}".replace("-", "−")
                colour = "white" if abs(value) > 0.7 else style.INK
                axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
    bar = figure.colorbar(image, ticks=[-1, 0, 1], shrink=0.6, aspect=14)
    bar.ax.set_yticklabels([style.number(value) for value in (-1, 0, 1)])
    bar.outline.set_visible(False)
    return figure
