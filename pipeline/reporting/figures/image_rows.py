"""Rows of images: what a β-VAE keeps of its inputs, what a class looks like to a model."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from pipeline.reporting import style


@style.styled
def image_rows(rows: Mapping[str, np.ndarray], title: str) -> Figure:
    """Rows of images under one another, for instance inputs and their reconstructions.

    Parameters
    ----------
    rows : what to call a row → pixels in [0, 1], (examples, channels, height, width).
    """
    columns = len(next(iter(rows.values())))
    left, top = 0.75, 0.08
    side = (style.WIDTH - left) / columns
    figure, paper = style.canvas(top + len(rows) * side + 0.04, title)
    for index, (name, images) in enumerate(rows.items()):
        down = top + index * side
        paper.text(left - 0.06, down + side / 2, name, ha="right", va="center", fontsize=8)
        for column, image in enumerate(images):
            style.show_image(paper, image, (left + column * side, down, side))
    return figure
