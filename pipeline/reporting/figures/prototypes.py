"""What the concepts stand for: prototypes and filters."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from pipeline.reporting import style


@style.styled
def prototype_grid(images: np.ndarray, notes: Sequence[str], title: str) -> Figure:
    """One row of prototypes per concept.

    Parameters
    ----------
    images : pixels in [0, 1], (K, count, channels, height, width), best first.
    notes : one per concept, written at the end of its row.
    """
    concepts, count = images.shape[:2]
    left, right, top = 0.28, 0.78, 0.08
    side = (style.WIDTH - left - right) / count
    figure, paper = style.canvas(top + concepts * side + 0.04, title)
    for concept, index in np.ndindex(concepts, count):
        place = (left + index * side, top + concept * side, side)
        style.show_image(paper, images[concept, index], place)
    for concept, note in enumerate(notes):
        middle = top + (concept + 0.5) * side
        _label_row(paper, left, middle, f"h{concept + 1}")
        paper.text(style.WIDTH - right + 0.07, middle, note, va="center", fontsize=8)
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
