"""The report's sections on learned concepts: what they stand for, their quality, their overlap."""

import statistics
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from torch import Tensor

from pipeline.claims import evidence, wording
from pipeline.claims.results import ExperimentResults, Results
from pipeline.explanations.prototypes import (
    chance_purities,
    filters,
    highest_activation,
    highest_contrast,
    purity,
)
from pipeline.metrics.concepts import correlation_matrix
from pipeline.metrics.intervals import TAILS, Interval
from pipeline.models.conceptizers import ConvConceptizer
from pipeline.reporting import style
from pipeline.reporting.common import metric_table, over_seeds, per_experiment, raw, section
from pipeline.reporting.display import Part, Picture

QUALITY = {
    "reconstruction_mse": "reconstruction error",
    "concept_correlation": "correlation",
    "concept_sparsity": "sparsity",
}
_MOST_NUMBERED = 8  # with more concepts, the cells of the heat map have no room for numbers


@per_experiment("This run has no concepts learned from images.")
def prototypes(experiment: ExperimentResults) -> Iterator[Part]:
    """Prototypes by activation and by contrast, and filters, of concepts learned from images."""
    if not (experiment.has_images and experiment.learns_concepts):
        return
    yield from _prototype_pictures(experiment, experiment.params.report.prototypes)
    if isinstance(conceptizer := experiment.model.conceptizer, ConvConceptizer):
        of_layers = filters(conceptizer)
        yield Picture(
            filter_grid(
                of_layers[0].mean(1).numpy(),
                of_layers[-1].numpy(),
                "What the encoder’s filters respond to",
            ),
            f"filters_{experiment.name}",
            "Filters of the encoder’s first layer, and each concept’s filter in its last.",
            "First row: filters on pixels. Below: each concept’s filter, one slice per filter of "
            "the layer before. Positive weights are blue, negative ones vermilion.",
        )


@per_experiment("This run has no learned concepts.")
def quality(experiment: ExperimentResults) -> Iterator[Part]:
    """Fidelity, diversity and sparsity of learned concepts, a table per experiment."""
    if experiment.learns_concepts:
        yield over_seeds(experiment)
        yield metric_table(experiment, QUALITY)


@section("This run has no concepts whose correlation could be shown.")
def correlations(results: Results) -> Iterator[Part]:
    """A heat map of the correlations between concepts, for every experiment that learns them."""
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
        mean_and_bounds = wording.with_bounds(mean, measured.interval)
        seeds = wording.counted(len(measured.values), "seed")
        caption = "Blue pairs rise together, vermilion pairs oppose each other, grey is undefined."
        if measured.values:
            caption = f"Mean |r| over pairs and {seeds}: {mean_and_bounds}. {caption}"
        figure = correlation_heat_map(matrix, f"{experiment.name}: mean |r| {mean}")
        name = f"correlations_{experiment.name}"
        yield Picture(figure, name, alt, caption, small=True)


def _prototype_pictures(experiment: ExperimentResults, count: int) -> Iterator[Picture]:
    data, concepts = experiment.data, experiment.test_outputs[0].concepts
    by_chance = chance_purities(data.test.y, count)
    chance = Interval(
        by_chance.mean().item(),
        by_chance.quantile(TAILS[0], interpolation="lower").item(),
        by_chance.quantile(TAILS[1], interpolation="higher").item(),
    )
    purities = evidence.purities(experiment, count)
    ways: dict[str, tuple[str, Callable[[Tensor, int], Tensor]]] = {
        "activation": ("What activates each concept most", highest_activation),
        "contrast": ("What activates each concept but not the others", highest_contrast),
    }
    for way, (title, choose) in ways.items():
        chosen = choose(concepts, count)
        images = raw(data.test.x[chosen], data).numpy()
        pure = purity(chosen, data.test.y)
        commonest = data.test.y[chosen].mode(1).values
        columns = chosen.shape[1]
        notes = [
            f"{round(float(share) * columns)} of {columns} are {data.class_names[int(label)]}"
            for share, label in zip(pure, commonest, strict=True)
        ]
        alt = (
            f"{title}: {columns} test images per concept. Commonest class: {wording.listed(notes)}."
        )
        by_chance_text = wording.share(chance, 0)
        caption = (
            "Dots: the share of the commonest class in a row. Grey: mean and 95 % range of this "
            f"share in rows of {columns} random images, {by_chance_text}. "
            f"Mean of these rows: {100 * pure.mean():.0f} %"
        )
        if way == "activation" and len(purities.values) > 1:
            mean = wording.percent(statistics.fmean(purities.values), 0)
            caption += f"; over all {len(purities.values)} seeds "
            caption += wording.with_bounds(mean, purities.interval, 100, 0)
        figure = prototype_grid(images, notes, pure.numpy(), chance, title)
        name = f"prototypes_{way}_{experiment.name}"
        yield Picture(figure, name, alt, f"{caption}.")


@style.styled
def prototype_grid(
    images: np.ndarray, notes: Sequence[str], shares: np.ndarray, chance: Interval, title: str
) -> Figure:
    """One row of prototypes per concept, and how many of them are of one class.

    Parameters
    ----------
    images : pixels in [0, 1], (K, count, channels, height, width), best first.
    notes : one per concept, at the end of its row.
    shares : (K,), of the commonest class in each row.
    chance : the same share in random rows, and the range that it mostly lies in.
    """
    concepts, count = images.shape[:2]
    left, right, top, scale = 0.28, 1.6, 0.08, 0.5
    side = (style.WIDTH - left - right) / count
    below = top + concepts * side
    figure, paper = style.canvas(below + 0.24, title)
    zero = style.WIDTH - scale - 0.22

    left_end, width = zero + scale * chance.low, scale * (chance.high - chance.low)
    paper.barh(top, width, below - top, left_end, align="edge", color=style.FAINT, linewidth=0)
    paper.plot([zero + scale * chance.mean] * 2, [top, below], color=style.GREY, linewidth=0.8)
    paper.plot([zero, zero + scale], [below, below], color=style.GREY, linewidth=0.6)
    for share, text in ((0, "0"), (1, "100 %")):
        paper.text(zero + scale * share, below + 0.04, text, ha="center", va="top", fontsize=7.5)

    for concept, index in np.ndindex(concepts, count):
        place = (left + index * side, top + concept * side, side)
        style.show_image(paper, images[concept, index], place)
    for concept, (note, share) in enumerate(zip(notes, shares, strict=True)):
        middle = top + (concept + 0.5) * side
        style.label_row(paper, left - 0.05, middle, f"h{concept + 1}", 8.5)
        paper.text(style.WIDTH - right + 0.07, middle, note, va="center", fontsize=8)
        paper.plot(zero + scale * share, middle, "o", color=style.BLUE)
    return figure


@style.styled
def filter_grid(first_layer: np.ndarray, per_concept: np.ndarray, title: str) -> Figure:
    """The first layer's filters, and below them each concept's filter, slice by slice.

    Parameters
    ----------
    first_layer : (filters, size, size); for colour images, means over channels.
    per_concept : (K, channels, size, size), one slice per filter of the layer before.
    """
    channels = per_concept.shape[1]
    left, top, gap = 0.45, 0.08, 0.04
    side = (style.WIDTH - left) / max(len(first_layer), channels)
    rows = [first_layer, *per_concept]
    figure, paper = style.canvas(top + (len(rows) + 0.3) * side, title)
    for index, row in enumerate(rows):
        limit = np.abs(row).max() or 1
        down = top + (index + (0.3 if index else 0)) * side
        name = f"h{index}" if index else "pixels"
        style.label_row(paper, left - 0.05, down + (side - gap) / 2, name, 8.5)
        for column, weights in enumerate(row):
            extent = style.square(left + column * side, down, side - gap)
            norm = Normalize(-limit, limit)
            paper.imshow(weights, extent=extent, aspect="auto", cmap=style.DIVERGING, norm=norm)
    return figure


@style.styled
def correlation_heat_map(matrix: np.ndarray, title: str) -> Figure:
    """Correlations between concepts, from -1 to 1.

    Parameters
    ----------
    matrix : (K, K); NaN, drawn in grey, for constant concepts.
    """
    count = len(matrix)
    figure = style.new_figure(2.9, title, style.SMALL_WIDTH)
    axes = figure.subplots()
    axes.set_facecolor(style.FAINT)
    image = axes.imshow(matrix, cmap=style.DIVERGING, vmin=-1, vmax=1)
    style.bare(axes)
    if count <= _MOST_NUMBERED:
        names = [f"h{index + 1}" for index in range(count)]
        axes.set_xticks(range(count), names)
        axes.set_yticks(range(count), names)
        axes.tick_params(length=0)
        for (row, column), value in np.ndenumerate(matrix):
            if row != column:
                rounded = round(value, 2) + 0.0  # no negative zero
                text = wording.MISSING if np.isnan(value) else wording.minus(f"{rounded:.2f}")
                colour = "white" if abs(value) > 0.7 else style.INK
                axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
    bar = figure.colorbar(image, ticks=[-1, 0, 1], shrink=0.6, aspect=14)
    style.number_ticks(bar.ax.yaxis)
    bar.outline.set_visible(False)
    return figure
