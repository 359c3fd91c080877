"""Similar images side by side with their relevances."""

from collections.abc import Sequence
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from pipeline.reporting import style


class Neighbourhood(NamedTuple):
    """An image, its nearest neighbours and some random others.

    `images`: pixels in [0, 1], (1 + near + far, channels, height, width); `relevances`
    (K, 1 + near + far), for the class predicted for the first; `near`: how many neighbours.
    """

    images: np.ndarray
    relevances: np.ndarray
    near: int


@style.styled
def neighbour_relevances(groups: Sequence[Neighbourhood], title: str) -> Figure:
    """For each neighbourhood a row of images over a heat map of relevances, on one colour scale."""
    concepts, near, total = len(groups[0].relevances), groups[0].near, len(groups[0].images)
    left, top, gap, bottom = 0.28, 0.28, 0.16, 0.5
    side = (style.WIDTH - left - 2 * gap) / total
    heat = 0.12 * concepts
    row = side + heat + 0.14
    below = top + len(groups) * row
    figure, paper = style.canvas(below + bottom, title)
    lefts = [left + i * side + gap * ((i > 0) + (i > near)) for i in range(total)]
    for column, heading in (
        (0, "this"),
        (1, "its nearest neighbours"),
        (near + 1, "others at random"),
    ):
        paper.text(lefts[column], top - 0.05, heading, fontsize=8.5)
    limit = max(float(np.abs(group.relevances).max()) for group in groups) or 1.0
    norm = mpl.colors.Normalize(-limit, limit)
    for index, group in enumerate(groups):
        down = top + index * row
        for concept in range(concepts):
            middle = down + side + (concept + 0.5) * heat / concepts
            paper.text(left - 0.03, middle, f"h{concept + 1}", ha="right", va="center", fontsize=7)
        for column, x in enumerate(lefts):
            style.show_image(paper, group.images[column], (x, down, side))
            extent = (x + 0.015, x + side - 0.015, down + side + heat, down + side)
            values = group.relevances[:, column : column + 1]
            paper.imshow(values, cmap=style.DIVERGING, norm=norm, extent=extent, aspect="auto")
    bar = figure.colorbar(
        mpl.cm.ScalarMappable(norm, style.DIVERGING),
        cax=style.axes_at(figure, left, below + 0.02, 1.8, 0.09),
        orientation="horizontal",
    )
    tick = style.nice_tick(limit)
    bar.set_ticks([-tick, 0, tick], labels=[style.number(v) for v in (-tick, 0, tick)])
    bar.outline.set_visible(False)
    bar.set_label("relevance", fontsize=8)
    return figure
