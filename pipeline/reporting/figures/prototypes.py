"""What the concepts stand for: prototypes and filters."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from pipeline.reporting import style


class Chance(NamedTuple):
    """What a share would be by chance: its mean, and the range in which it mostly is."""

    mean: float
    low: float
    high: float


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
