"""SENN's explanations of single predictions, and DiSENN's with contrast class and prototypes."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.reporting import style
from pipeline.reporting.examples import Example


@style.styled
def table_explanation(
    example: Example, names: Sequence[str], value_limit: float, limits: tuple[float, float]
) -> Figure:
    """Feature values, relevances and contributions of one row of a table.

    Parameters
    ----------
    example : its `x` is one value per feature.
    names : of the features.
    value_limit, limits : of the value axis, and of the relevance and the contribution axis; the
        same for all examples shown.
    """
    height = 0.85 + 0.17 * len(names)
    figure = style.new_figure(height, _title(example), style.SMALL_WIDTH)
    values, relevances, contributions = figure.subplots(1, 3, width_ratios=[0.6, 1, 1])
    positions = np.arange(len(names))
    values.barh(positions, example.x, height=0.62, color=style.GREY, linewidth=0)
    values.set_ylim(len(names) - 0.5, -0.5)
    values.set_xlim(0, value_limit)
    values.set_xticks([0, style.nice_tick(value_limit)])
    values.xaxis.set_major_formatter(lambda value, _: style.number(value))
    values.set_yticks(positions, names)
    values.tick_params(axis="y", length=0)
    values.set_title("value")
    style.signed_bars(relevances, example.relevances, limits[0])
    relevances.set_title("relevance")
    style.signed_bars(contributions, example.contributions, limits[1])
    contributions.set_title("contribution")
    return figure


@style.styled
def image_explanation(example: Example, limits: tuple[float, float, float]) -> Figure:
    """An image, the relevances of its concepts, the concepts, and their contributions.

    Parameters
    ----------
    example : its `x` is pixels in [0, 1], (channels, height, width).
    limits : of the relevance, the concept and the contribution axis.
    """
    concepts = len(example.concepts)
    figure = style.new_figure(0.85 + 0.18 * concepts, _title(example), style.SMALL_WIDTH)
    panels = figure.subplots(1, 4, width_ratios=[0.75, 1, 1, 1])
    style.show_image(panels[0], example.x)
    style.bare(panels[0])
    values = (example.relevances, example.concepts, example.contributions)
    titles = ("relevance", "concept", "contribution")
    for axes, bars, limit, title in zip(panels[1:], values, limits, titles, strict=True):
        style.signed_bars(axes, bars, limit)
        axes.set_title(title)
    _name_concepts(panels[1], concepts)
    return figure


@style.styled
def contrastive_explanation(example: Example, strips: np.ndarray, limit: float) -> Figure:
    """Contributions to the predicted class and to the contrast class, and prototype strips.

    Parameters
    ----------
    example : its `x` is pixels in [0, 1], (channels, height, width).
    strips : pixels in [0, 1], (K, steps, channels, height, width), of every concept's traversal.
    limit : of both contribution axes.
    """
    concepts, steps = strips.shape[:2]
    row, top, bottom, side = 0.27, 0.28, 0.28, 0.72
    below = top + concepts * row
    figure, paper = style.canvas(below + bottom, _title(example))
    style.show_image(paper, example.x, (0.02, (top + below - side) / 2, side))
    first, second, strip = 1.0, 1.8, 2.59
    for left, values, name in (
        (first, example.contributions, example.prediction),
        (second, example.contrast_contributions, example.contrast),
    ):
        axes = style.axes_at(figure, left, top, 0.7, concepts * row)
        style.signed_bars(axes, values, limit)
        axes.set_title(f"for {name}")
        if left == first:
            _name_concepts(axes, concepts)
    for concept, step in np.ndindex(concepts, steps):
        place = (strip + step * row, top + concept * row, row)
        style.show_image(paper, strips[concept, step], place)
    paper.text(strip, top - 0.08, "if the concept were …")
    for step, mark in ((0, "less"), (steps // 2, "as is"), (steps - 1, "more")):
        paper.text(strip + (step + 0.5) * row, below + 0.17, mark, ha="center", fontsize=8)
    return figure


def _name_concepts(axes: Axes, count: int) -> None:
    axes.set_yticks(np.arange(count), [f"h{index + 1}" for index in range(count)])
    axes.tick_params(axis="y", length=0)


def _title(example: Example) -> str:
    verdict = "" if example.prediction == example.truth else f", but it is {example.truth}"
    return f"Predicted {example.prediction} ({100 * example.probability:.0f} %){verdict}"
