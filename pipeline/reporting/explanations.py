"""The report's sections on single predictions: SENN's, and DiSENN's with a contrast class."""

import statistics
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure

from pipeline.claims import wording
from pipeline.claims.results import ExperimentResults, Results
from pipeline.data.registry import caveat
from pipeline.explanations.latents import latent_spread, prototype_strips
from pipeline.models.conceptizers import VaeConceptizer
from pipeline.reporting import style
from pipeline.reporting.common import decoded, examples_at, per_experiment, raw
from pipeline.reporting.display import Part, Picture, Prose
from pipeline.reporting.examples import Example, arithmetic, concept_names, explained, reason

STRIP_STEPS, STRIP_WIDTH = 7, 2.0


def caveats(results: Results) -> Iterator[Part]:
    """What everyone must know of the data before seeing a prediction."""
    datasets = dict.fromkeys(one.settings.dataset for one in results.experiments.values())
    yield from (Prose(f"**A caveat.** {text}") for text in map(caveat, datasets) if text)


@per_experiment("This run has no SENN whose explanations can be drawn.")
def explanations(experiment: ExperimentResults) -> Iterator[Part]:
    """Single predictions, explained, for every SENN on features or images."""
    if experiment.is_disenn or experiment.has_images != experiment.learns_concepts:
        return
    examples = explained(experiment.model, experiment.data, examples_at(experiment))
    limits, names = common_limits(examples), concept_names(experiment)
    for index, example in enumerate(examples):
        if experiment.has_images:
            figure = image_explanation(example, limits)
        else:
            figure = table_explanation(example, names, limits)
        name = f"explanation_{experiment.name}_{index + 1}"
        caption = f"{reason(example, names)} {arithmetic(example)}"
        is_small = experiment.has_images
        yield Picture(figure, name, _alt(example, names), caption, small=is_small)


@per_experiment("This run has no DiSENN on images.")
def disenn(experiment: ExperimentResults) -> Iterator[Part]:
    """DiSENN's predictions: contributions to predicted and contrast class, and prototype strips."""
    conceptizer = experiment.model.conceptizer
    if not (isinstance(conceptizer, VaeConceptizer) and experiment.has_images):
        return
    examples = explained(experiment.model, experiment.data, examples_at(experiment))
    limits = common_limits(examples)
    scale = latent_spread(conceptizer.posterior(experiment.data.test.x))
    pictures = []
    names, moved = concept_names(experiment), []
    for index, example in enumerate(examples):
        mean = torch.from_numpy(example.concepts)
        strips = decoded(
            prototype_strips(conceptizer, mean, scale, STRIP_STEPS, STRIP_WIDTH), conceptizer
        )
        moved.append(float(abs(strips[:, -1] - strips[:, 0]).mean()))
        figure = contrastive_explanation(example, strips, limits)
        name = f"explanation_{experiment.name}_{index + 1}"
        pictures.append(Picture(figure, name, _alt(example, names), reason(example, names)))
    images = raw(experiment.data.test.x, experiment.data)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    apart = (images - images[order]).abs().mean().item()
    yield Prose(
        "From one end of a strip to the other, a pixel changes by "
        f"{statistics.fmean(moved):.2f} on average, where 0 is white and 1 is black. Two random "
        f"test images differ by {apart:.2f}."
    )
    yield from pictures


def _alt(example: Example, names: list[str]) -> str:
    strongest = int(abs(example.contributions).argmax())
    value = wording.significant(float(example.contributions[strongest]), 2)
    return (
        f"Predicted {example.prediction} with {wording.probability(example.probability)}, true "
        f"class {example.truth}. The largest contribution is {value}, by {names[strongest]}."
    )


def common_limits(examples: Sequence[Example]) -> dict[str, float]:
    """Axis limits that fit all of `examples`, by the name of a field."""
    fields = ("x", "concepts", "relevances", "contributions", "contrast_contributions")
    return {
        field: style.common_limit(np.stack([getattr(example, field) for example in examples]))
        for field in fields
    }


@style.styled
def table_explanation(
    example: Example, names: Sequence[str], limits: Mapping[str, float]
) -> Figure:
    """Feature values, relevances and contributions of one row of a table.

    Parameters
    ----------
    example : its `x` is one value per feature.
    names : of the features.
    limits : of the axes, as `common_limits` has them.
    """
    figure = style.new_figure(0.85 + 0.17 * len(names), _title(example))
    values, relevances, contributions = figure.subplots(1, 3, width_ratios=[0.6, 1, 1])
    positions = np.arange(len(names))
    values.barh(positions, example.x, height=0.62, color=style.GREY, linewidth=0)
    values.set_ylim(len(names) - 0.5, -0.5)
    values.set_xlim(0, limits["x"])
    values.set_xticks([0, style.nice_tick(limits["x"])])
    style.number_ticks(values.xaxis)
    style.name_rows(values, names)
    values.set_title("value")
    style.signed_bars(relevances, example.relevances, limits["relevances"])
    relevances.set_title("relevance")
    style.signed_bars(contributions, example.contributions, limits["contributions"])
    contributions.set_title("contribution")
    return figure


@style.styled
def image_explanation(example: Example, limits: Mapping[str, float]) -> Figure:
    """An image, the relevances of its concepts, the concepts, and their contributions.

    Parameters
    ----------
    example : its `x` is pixels in [0, 1], (channels, height, width).
    limits : of the axes, as `common_limits` has them.
    """
    concepts = len(example.concepts)
    figure = style.new_figure(0.85 + 0.18 * concepts, _title(example), style.SMALL_WIDTH)
    panels = figure.subplots(1, 4, width_ratios=[0.75, 1, 1, 1])
    style.show_image(panels[0], example.x)
    style.bare(panels[0])
    for axes, field in zip(panels[1:], ("relevances", "concepts", "contributions"), strict=True):
        style.signed_bars(axes, getattr(example, field), limits[field])
        axes.set_title(field.removesuffix("s"))
    style.name_concepts(panels[1], concepts)
    return figure


@style.styled
def contrastive_explanation(
    example: Example, strips: np.ndarray, limits: Mapping[str, float]
) -> Figure:
    """Contributions to the predicted class and to the contrast class, and prototype strips.

    Parameters
    ----------
    example : its `x` is pixels in [0, 1], (channels, height, width).
    strips : every concept's traversal, pixels in [0, 1], (K, steps, channels, height, width).
    limits : as `common_limits` has them; both axes get the larger one of contributions.
    """
    concepts, steps = strips.shape[:2]
    row, top, bottom, side = 0.27, 0.28, 0.28, 0.72
    below = top + concepts * row
    limit = max(limits["contributions"], limits["contrast_contributions"])
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
            style.name_concepts(axes, concepts)
    for concept, step in np.ndindex(concepts, steps):
        place = (strip + step * row, top + concept * row, row)
        style.show_image(paper, strips[concept, step], place)
    paper.text(strip, top - 0.08, "if the concept were …")
    for step, mark in ((0, "less"), (steps // 2, "as is"), (steps - 1, "more")):
        paper.text(strip + (step + 0.5) * row, below + 0.17, mark, ha="center", fontsize=8)
    return figure


def _title(example: Example) -> str:
    truth = "" if example.prediction == example.truth else f", but it is {example.truth}"
    return f"Predicted {example.prediction} ({wording.probability(example.probability)}){truth}"
