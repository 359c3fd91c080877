"""The report's sections made of pictures: explanations, prototypes, neighbours."""

import statistics
from collections.abc import Callable

import torch
from torch import Tensor

from pipeline.explanations.latents import latent_spread
from pipeline.explanations.neighbours import NeighbourStudy
from pipeline.explanations.prototypes import (
    chance_purity,
    concept_filters,
    first_layer_filters,
    highest_activation,
    highest_contrast,
    purity,
)
from pipeline.explanations.traversal import prototype_strips
from pipeline.models.conceptizers import ConvConceptizer, VaeConceptizer
from pipeline.reporting import wording
from pipeline.reporting.display import Picture, Prose, Several
from pipeline.reporting.examples import Example, common_limits, decoded, explained, pick, raw
from pipeline.reporting.figures.explanations import (
    contrastive_explanation,
    image_explanation,
    table_explanation,
)
from pipeline.reporting.figures.neighbours import Neighbourhood, neighbour_relevances
from pipeline.reporting.figures.prototypes import filter_grid, prototype_grid
from pipeline.reporting.numbers import heading
from pipeline.reporting.results import NEIGHBOURS, ExperimentResults, Results
from pipeline.reporting.verdicts import seed_interval

STRIP_STEPS, STRIP_WIDTH = 7, 2.0
RANDOM_OTHERS = 3

Shown = list[Prose | Picture]


def explanations(results: Results) -> Several:
    """Single predictions explained, for every SENN on features or images."""
    parts: Shown = []
    for experiment in results.experiments.values():
        if experiment.is_disenn or experiment.has_images != experiment.learns_concepts:
            continue
        figures = _image_explanations if experiment.has_images else _table_explanations
        parts.append(Prose(heading(experiment)))
        parts += figures(experiment, _examples(experiment, results))
    return _or_nothing(parts, "This run has no SENN whose explanations can be drawn.")


def disenn(results: Results) -> Several:
    """DiSENN's predictions: contributions to predicted and contrast class, prototype strips."""
    parts: Shown = []
    for experiment in results.experiments.values():
        if not (experiment.is_disenn and experiment.has_images):
            continue
        examples = _examples(experiment, results)
        parts.append(Prose(heading(experiment)))
        parts += _contrastive_explanations(experiment, examples)
    return _or_nothing(parts, "This run has no DiSENN on images.")


def prototypes(results: Results) -> Several:
    """Prototypes by activation and contrast, and filters, of learned concepts of images."""
    count = results.params.report.prototypes
    parts: Shown = []
    for experiment in _on_images(results):
        parts += [Prose(heading(experiment)), *_prototype_pictures(experiment, count)]
    return _or_nothing(parts, "This run has no concepts learned from images.")


def neighbours(results: Results) -> Several:
    """The nearest-neighbour study, for every experiment on images."""
    parts: Shown = []
    for experiment in _on_images(results):
        anchors = _examples_at(experiment, results)
        title = "Do similar images get similar relevances?"
        figure = neighbour_relevances(
            [_neighbourhood(experiment, int(anchor)) for anchor in anchors], title
        )
        alt = (
            f"{len(anchors)} test images of {experiment.name}, each with its {NEIGHBOURS} nearest "
            f"neighbours and {RANDOM_OTHERS} random others, over a heat map of their relevances."
        )
        parts.append(Prose(heading(experiment)))
        parts.append(Prose(_neighbour_sentence(experiment.neighbour_studies)))
        parts.append(Picture(figure, f"neighbours_{experiment.name}", alt))
    return _or_nothing(parts, "This run has no concepts learned from images.")


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


def _prototype_pictures(experiment: ExperimentResults, count: int) -> Shown:
    data, concepts = experiment.data, experiment.test_outputs[0].concepts
    chance = chance_purity(data.test.y, count)
    pictures: Shown = []
    ways: dict[str, tuple[str, Callable[[Tensor, int], Tensor]]] = {
        "activation": ("What activates each concept most", highest_activation),
        "contrast": ("What activates each concept, and not the others", highest_contrast),
    }
    for way, (title, choose) in ways.items():
        chosen = choose(concepts, min(count, len(data.test)))
        images = raw(data.test.x[chosen], data).numpy()
        pure = purity(chosen, data.test.y)
        commonest = data.test.y[chosen].mode(1).values
        notes = [
            f"{round(float(share) * chosen.shape[1])} of {chosen.shape[1]} are "
            f"{data.class_names[int(label)]}"
            for share, label in zip(pure, commonest, strict=True)
        ]
        alt = f"{title}: {count} test images per concept. Commonest class: {wording.listed(notes)}."
        caption = (
            f"On average {100 * pure.mean():.0f} % of a row are of its commonest class; of {count} "
            f"images drawn at random {100 * chance:.0f} % would be."
        )
        figure = prototype_grid(images, notes, title)
        pictures.append(Picture(figure, f"prototypes_{way}_{experiment.name}", alt, caption))
    if isinstance(conceptizer := experiment.model.conceptizer, ConvConceptizer):
        figure = filter_grid(
            first_layer_filters(conceptizer).mean(1).numpy(),
            concept_filters(conceptizer).numpy(),
            "What the encoder’s filters look for",
        )
        alt = "Filters of the encoder’s first layer, and each concept’s filter in its last."
        caption = (
            "First row: filters on pixels. Below: each concept’s filter, one slice per filter of "
            "the layer before. Blue weights are positive, vermilion ones negative."
        )
        pictures.append(Picture(figure, f"filters_{experiment.name}", alt, caption))
    return pictures


def _neighbourhood(experiment: ExperimentResults, anchor: int) -> Neighbourhood:
    data, output = experiment.data, experiment.test_outputs[0]
    near = experiment.neighbour_studies[0].neighbours[anchor]
    generator = torch.Generator().manual_seed(anchor)
    others = torch.randperm(len(data.test), generator=generator)
    others = others[others != anchor][:RANDOM_OTHERS]
    shown = torch.cat([torch.tensor([anchor]), near, others])
    label = output.logits[anchor].argmax()
    return Neighbourhood(
        raw(data.test.x[shown], data).numpy(),
        output.relevances[shown, :, label].T.numpy(),
        len(near),
    )


def _neighbour_sentence(studies: list[NeighbourStudy]) -> str:
    ratios = [study.ratio() for study in studies]
    same = [study.ratio_within_class() for study in studies]
    if None in ratios or None in same:
        return "A model gives all images the same relevances: there is nothing to compare."
    text = []
    for values in (ratios, same):
        interval = seed_interval([value for value in values if value is not None])
        mean = sum(value for value in values if value is not None) / len(values)
        text.append(f"{mean:.2f}" + (f" ({wording.bounds(interval)})" if interval else ""))
    return (
        f"The relevances of a test image and its {NEIGHBOURS} nearest neighbours are on average "
        f"**{text[0]}** times as far apart as those of random pairs: 0 would be equal, 1 no more "
        "alike than any two. Part of that is the predicted class, which neighbours mostly share. "
        f"Among images with the same prediction it is {text[1]}."
    )


def _examples_at(experiment: ExperimentResults, results: Results) -> Tensor:
    return pick(experiment.data.test.y, results.params.report.explanations)


def _examples(experiment: ExperimentResults, results: Results) -> list[Example]:
    return explained(experiment.model, experiment.data, _examples_at(experiment, results))


def _on_images(results: Results) -> list[ExperimentResults]:
    """The experiments that learn concepts from images."""
    experiments = results.experiments.values()
    return [one for one in experiments if one.has_images and one.learns_concepts]


def _concept_names(example: Example) -> list[str]:
    return [f"concept {index + 1}" for index in range(len(example.concepts))]


def _alt(example: Example, names: list[str]) -> str:
    strongest = int(abs(example.contributions).argmax())
    value = wording.significant(float(example.contributions[strongest]), 2)
    return (
        f"Predicted {example.prediction} with {wording.percent(example.probability, 0)}, true "
        f"class {example.truth}. The largest contribution is {value}, by {names[strongest]}."
    )


def _or_nothing(parts: Shown, otherwise: str) -> Several:
    return Several(parts or [Prose(otherwise)])
