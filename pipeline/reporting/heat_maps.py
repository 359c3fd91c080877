"""Heat maps of the same examples by every explanation method, and class prototypes."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from pipeline.claims import wording
from pipeline.claims.results import ExperimentResults
from pipeline.data.registry import plain_names
from pipeline.explanations.activation_maximisation import class_prototypes
from pipeline.explanations.method import Background
from pipeline.explanations.methods import methods_for
from pipeline.metrics.batches import predict
from pipeline.reporting import style
from pipeline.reporting.common import examples_at, image_rows, raw
from pipeline.reporting.display import Picture

_TABLE_ROWS = 2  # how many rows of a table to draw
_L2 = 1e-3  # of activation maximisation: enough for clean digits
_SCALED = "Each map is scaled to its largest magnitude, so compare colours within a map only."
_COLUMNS = 7  # of methods, beside the images
_LABEL_CHARACTERS, _LABEL_SIZE = 11, 6.3  # of a line of a method's name; points
_NORM = mpl.colors.Normalize(-1, 1)


def heat_maps(experiment: ExperimentResults) -> Iterator[Picture]:
    """Every method's heat maps of the same examples, on one scale; of images, prototypes too."""
    data, model = experiment.data, experiment.model
    x = data.test.x[examples_at(experiment)]
    predicted, background = predict(model, x), Background.of(data)
    maps = {
        method.label: method.build(background)(model, x, predicted).detach().numpy()
        for method in methods_for(model).values()
        if method.speaks_of == "inputs" or not experiment.learns_concepts
    }
    name, methods = f"heat_maps_{experiment.name}", "; ".join(maps)
    if experiment.has_images:
        summed = {label: _to_unit(values.sum(1)) for label, values in maps.items()}
        figure = image_heat_maps(
            raw(x, data).numpy(), summed, "The same images, explained by every method"
        )
        alt = f"Heat maps of {len(x)} test images by {len(maps)} methods: {methods}."
        yield Picture(figure, name, alt, _SCALED)
        yield _prototypes_of_classes(experiment)
        return
    features = plain_names(experiment.settings.dataset, data.feature_names)
    for index, label in enumerate(predicted[:_TABLE_ROWS].tolist()):
        values = {method: _to_unit(of_all)[index] for method, of_all in maps.items()}
        title = f"One case predicted {data.class_names[label]}, explained by every method"
        alt = f"{title}. Attributions of each feature by {len(maps)} methods: {methods}."
        yield Picture(table_heat_map(values, features, title), f"{name}_{index + 1}", alt, _SCALED)


def _prototypes_of_classes(experiment: ExperimentResults) -> Picture:
    """What the model of an image experiment finds most typical of each class."""
    data = experiment.data
    ends = float(data.low), float(data.high)
    x, probability = class_prototypes(experiment.model, data.train.x.mean(0), *ends, _L2)
    title = "What the model finds most typical of each class"
    figure = image_rows({"prototype": raw(x, data).numpy()}, title)
    least = wording.percent(float(probability.min()))
    caption = (
        "Activation maximisation: images that maximise the log-probability minus "
        f"{_L2:g} times the squared distance from the mean image. The model gives each a "
        f"probability of at least {least}."
    )
    alt = f"{title}: an image for each of {wording.listed(list(data.class_names))}."
    return Picture(figure, f"class_prototypes_{experiment.name}", alt, caption)


def _to_unit(attributions: np.ndarray) -> np.ndarray:
    """Each example's attributions, scaled to largest magnitude 1; 0 stays 0."""
    others = tuple(range(1, attributions.ndim))
    largest = np.abs(attributions).max(others, keepdims=True)
    scaled: np.ndarray = attributions / np.maximum(largest, np.finfo(np.float32).tiny)
    return scaled


@style.styled
def image_heat_maps(images: np.ndarray, maps: Mapping[str, np.ndarray], title: str) -> Figure:
    """Images, and beside each its heat map by every method, in as many bands as needed.

    Parameters
    ----------
    images : pixels in [0, 1], (N, channels, height, width).
    maps : per method, in [-1, 1], (N, height, width).
    """
    labels = list(maps)
    bands = -(-len(labels) // _COLUMNS)
    columns = -(-len(labels) // bands)  # bands of about equal length
    wrapped = [_wrapped(label) for label in labels]
    top = 0.09 * (1 + max(label.count("\n") for label in wrapped)) + 0.06
    between, gap, bottom = 0.08, 0.03, 0.36
    side = style.WIDTH / (columns + 1) - gap
    band = top + len(images) * (side + gap) + between
    figure, paper = style.canvas(bands * band + bottom, title)
    for start in range(0, len(labels), columns):
        down = start // columns * band + top
        for row, image in enumerate(images):
            style.show_image(paper, image, (gap / 2, down + row * (side + gap), side))
        for index in range(start, min(start + columns, len(labels))):
            left = (index - start + 1) * (side + gap) + gap / 2
            name = wrapped[index]
            longest = max(len(line) for line in name.split("\n"))
            size = _LABEL_SIZE * min(1, _LABEL_CHARACTERS / longest)
            middle = left + side / 2
            paper.text(middle, down - 0.04, name, fontsize=size, ha="center", linespacing=1.0)
            for row, values in enumerate(maps[labels[index]]):
                extent = style.square(left, down + row * (side + gap), side)
                paper.imshow(values, cmap=style.DIVERGING, norm=_NORM, extent=extent, aspect="auto")
                frame = mpl.patches.Rectangle(
                    (extent[0], extent[3]), side, side, fill=False, lw=0.4, ec=style.FAINT
                )
                paper.add_patch(frame)
    _colour_bar(figure, bands * band)
    return figure


@style.styled
def table_heat_map(maps: Mapping[str, np.ndarray], names: Sequence[str], title: str) -> Figure:
    """Every method's attributions of one row of a table: features × methods.

    Parameters
    ----------
    maps : per method, in [-1, 1], (features,).
    names : of the features.
    """
    left, row, bottom = 1.25, 0.145, 0.36
    top = 0.047 * max(len(label) for label in maps) + 0.06
    cell = (style.WIDTH - left - 0.06) / len(maps)
    figure, paper = style.canvas(top + row * len(names) + bottom, title)
    below = top + row * len(names)
    values = np.stack(list(maps.values()), 1)
    extent = (left, left + cell * len(maps), below, top)
    paper.imshow(values, cmap=style.DIVERGING, norm=_NORM, extent=extent, aspect="auto")
    for index in range(1, len(names)):
        paper.plot(extent[:2], [top + index * row] * 2, color=style.FAINT, linewidth=0.4)
    for index, label in enumerate(maps):
        x = left + index * cell
        paper.text(
            x + cell / 2, top - 0.04, label, fontsize=6.5, rotation=90, ha="center", va="bottom"
        )
        paper.plot([x, x], [top, below], color=style.FAINT, linewidth=0.4)
    frame = mpl.patches.Rectangle(
        (left, top), cell * len(maps), below - top, fill=False, lw=0.4, ec=style.GREY
    )
    paper.add_patch(frame)
    for index, name in enumerate(names):
        style.label_row(paper, left - 0.05, top + (index + 0.5) * row, name, 7)
    _colour_bar(figure, below + 0.04)
    return figure


def _wrapped(label: str) -> str:
    return textwrap.fill(label, _LABEL_CHARACTERS, break_long_words=False, break_on_hyphens=False)


def _colour_bar(figure: Figure, top: float) -> None:
    bar = style.colour_bar(figure, _NORM, (0.45, top, 1.6, 0.08))
    bar.set_ticks([-1, 0, 1], labels=["−1: against", "0", "1: for the class"])
    bar.ax.tick_params(labelsize=7)
