"""How much concepts overlap."""

import numpy as np
from matplotlib.figure import Figure

from pipeline.reporting import style

_MOST_NUMBERED = 8  # concepts whose correlations can be told as numbers in the cells


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
