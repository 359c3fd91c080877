"""The report's sections of single predictions, explained."""

import statistics

import torch
from torch import Tensor

from pipeline.explanations.latents import latent_spread
from pipeline.explanations.traversal import prototype_strips
from pipeline.models.conceptizers import VaeConceptizer
from pipeline.reporting import wording
from pipeline.reporting.display import Picture, Prose, Several, Table
from pipeline.reporting.examples import Example, common_limits, decoded, explained, pick, raw
from pipeline.reporting.figures.explanations import (
    contrastive_explanation,
    image_explanation,
    table_explanation,
)
from pipeline.reporting.numbers import heading
from pipeline.reporting.results import ExperimentResults, Results

STRIP_STEPS, STRIP_WIDTH = 7, 2.0

Shown = list[Prose | Picture | Table]


def explanations(results: Results) -> Several:
    """Single predictions explained, for every SENN on features or images."""
    parts: Shown = []
    for experiment in results.experiments.values():
        if experiment.is_disenn or experiment.has_images != experiment.learns_concepts:
            continue
        figures = _image_explanations if experiment.has_images else _table_explanations
        parts.append(Prose(heading(experiment)))
        parts += figures(experiment, _examples(experiment, results))
    return or_nothing(parts, "This run has no SENN whose explanations can be drawn.")


def disenn(results: Results) -> Several:
    """DiSENN's predictions: contributions to predicted and contrast class, prototype strips."""
    parts: Shown = []
    for experiment in results.experiments.values():
        if not (experiment.is_disenn and experiment.has_images):
            continue
        examples = _examples(experiment, results)
        parts.append(Prose(heading(experiment)))
        parts += _contrastive_explanations(experiment, examples)
    return or_nothing(parts, "This run has no DiSENN on images.")


def _table_explanations(experiment: ExperimentResults, examples: list[Example]) -> Shown:
    relevance, contribution, value = common_limits(examples, "relevances", "contributions", "x")
    names = [name.replace("_", " ") for name in experiment.data.feature_names]
    return [
        Picture(
            table_explanation(example, names, value, (relevance, contribution)),
            f"explanation_{experiment.name}_{index + 1}",
            _alt(example, names),
            small=True,
        )
        for index, example in enumerate(examples)
    ]


def _image_explanations(experiment: ExperimentResults, examples: list[Example]) -> Shown:
    limits = common_limits(examples, "relevances", "concepts", "contributions")
    return [
        Picture(
            image_explanation(example, (limits[0], limits[1], limits[2])),
            f"explanation_{experiment.name}_{index + 1}",
            _alt(example, _concept_names(example)),
            small=True,
        )
        for index, example in enumerate(examples)
    ]


def _contrastive_explanations(experiment: ExperimentResults, examples: list[Example]) -> Shown:
    limit = max(common_limits(examples, "contributions", "contrast_contributions"))
    conceptizer = experiment.model.conceptizer
    assert isinstance(conceptizer, VaeConceptizer)
    scale = latent_spread(conceptizer.posterior(experiment.data.test.x))
    pictures: Shown = []
    moved = []
    for index, example in enumerate(examples):
        mean = torch.from_numpy(example.concepts)
        strips = decoded(
            prototype_strips(conceptizer, mean, scale, STRIP_STEPS, STRIP_WIDTH), conceptizer
        )
        moved.append(float(abs(strips[:, -1] - strips[:, 0]).mean()))
        figure = contrastive_explanation(example, strips, limit)
        name = f"explanation_{experiment.name}_{index + 1}"
        pictures.append(Picture(figure, name, _alt(example, _concept_names(example))))
    images = raw(experiment.data.test.x, experiment.data)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    apart = (images - images[order]).abs().mean().item()
    sentence = (
        f"From one end of a strip to the other a pixel changes by {statistics.fmean(moved):.2f} on "
        f"average, where 1 is all between paper and ink; between two random test images, by "
        f"{apart:.2f}."
    )
    return [Prose(sentence), *pictures]


def examples_at(experiment: ExperimentResults, results: Results) -> Tensor:
    """Indices of the test examples that are shown."""
    return pick(experiment.data.test.y, results.params.report.explanations)


def _examples(experiment: ExperimentResults, results: Results) -> list[Example]:
    return explained(experiment.model, experiment.data, examples_at(experiment, results))


def _concept_names(example: Example) -> list[str]:
    return [f"concept {index + 1}" for index in range(len(example.concepts))]


def _alt(example: Example, names: list[str]) -> str:
    strongest = int(abs(example.contributions).argmax())
    value = wording.significant(float(example.contributions[strongest]), 2)
    return (
        f"Predicted {example.prediction} with {wording.percent(example.probability, 0)}, true "
        f"class {example.truth}. The largest contribution is {value}, by {names[strongest]}."
    )


def or_nothing(parts: Shown, otherwise: str) -> Several:
    """`parts`, or a sentence where there are none."""
    return Several(parts or [Prose(otherwise)])
