"""The report's sections on learned concepts: what they stand for, and how much they overlap."""

import statistics
from collections.abc import Callable

from torch import Tensor

from pipeline.explanations.prototypes import (
    chance_purities,
    concept_filters,
    first_layer_filters,
    highest_activation,
    highest_contrast,
    purity,
)
from pipeline.metrics.concepts import correlation_matrix
from pipeline.metrics.intervals import TAILS, Interval
from pipeline.models.conceptizers import ConvConceptizer
from pipeline.reporting import evidence, wording
from pipeline.reporting.display import Picture, Prose, Several
from pipeline.reporting.examples import raw
from pipeline.reporting.figures.correlations import correlation_heat_map
from pipeline.reporting.figures.prototypes import Chance, filter_grid, prototype_grid
from pipeline.reporting.gallery import Shown, or_nothing
from pipeline.reporting.numbers import heading
from pipeline.reporting.results import ExperimentResults, Results


def prototypes(results: Results) -> Several:
    """Prototypes by activation and contrast, and filters, of learned concepts of images."""
    parts: Shown = []
    for experiment in results.on_images:
        parts.append(Prose(heading(experiment)))
        parts += _prototype_pictures(experiment, results.params.report.prototypes)
        if isinstance(experiment.model.conceptizer, ConvConceptizer):
            parts.append(_filters(experiment, experiment.model.conceptizer))
    return or_nothing(parts, "This run has no concepts learned from images.")


def correlations(results: Results) -> Several:
    """A heat map of the correlations between concepts, for every experiment that learns them."""
    parts: Shown = []
    for experiment in results.experiments.values():
        if not experiment.learns_concepts:
            continue
        matrix = correlation_matrix(experiment.test_outputs[0].concepts).numpy()
        found = evidence.correlations(experiment)
        mean = f"{statistics.fmean(found):.2f}" if found else "undefined"
        alt = (
            f"Heat map of the correlations r between the {len(matrix)} concepts of "
            f"{experiment.name}. The mean of |r| over pairs is {mean}."
        )
        over = _with_bounds(mean, evidence.correlation_interval(experiment))
        caption = f"Mean |r| over pairs and {wording.counted(len(found), 'seed')}: {over}."
        figure = correlation_heat_map(matrix, f"{experiment.name}: mean |r| {mean}")
        name = f"correlations_{experiment.name}"
        parts.append(Picture(figure, name, alt, caption if found else "", small=True))
    return or_nothing(parts, "There are no concepts whose correlation could be shown.")


def _prototype_pictures(experiment: ExperimentResults, count: int) -> Shown:
    data, concepts = experiment.data, experiment.test_outputs[0].concepts
    by_chance = chance_purities(data.test.y, count)
    chance = Chance(
        by_chance.mean().item(),
        by_chance.quantile(TAILS[0], interpolation="lower").item(),
        by_chance.quantile(TAILS[1], interpolation="higher").item(),
    )
    over_seeds = evidence.purities(experiment, count)
    interval = evidence.purity_interval(experiment, count)
    ways: dict[str, tuple[str, Callable[[Tensor, int], Tensor]]] = {
        "activation": ("What activates each concept most", highest_activation),
        "contrast": ("What activates each concept, and not the others", highest_contrast),
    }
    pictures: Shown = []
    for way, (title, choose) in ways.items():
        chosen = choose(concepts, count)
        images = raw(data.test.x[chosen], data).numpy()
        pure = purity(chosen, data.test.y)
        commonest = data.test.y[chosen].mode(1).values
        shown = chosen.shape[1]
        notes = [
            f"{round(float(share) * shown)} of {shown} are {data.class_names[int(label)]}"
            for share, label in zip(pure, commonest, strict=True)
        ]
        alt = f"{title}: {shown} test images per concept. Commonest class: {wording.listed(notes)}."
        caption = (
            "Dots: the share of the commonest class in a row. Grey: its mean and 95 % range in "
            f"rows of {shown} random images, {_percent_and_range(chance)}. "
            f"Mean of these rows: {100 * pure.mean():.0f} %"
        )
        if way == "activation" and len(over_seeds) > 1:
            mean = f"{100 * statistics.fmean(over_seeds):.0f} %"
            caption += f"; over all seeds {_with_bounds(mean, interval, 100, 0)}"
        figure = prototype_grid(images, notes, pure.numpy(), chance, title)
        name = f"prototypes_{way}_{experiment.name}"
        pictures.append(Picture(figure, name, alt, f"{caption}."))
    return pictures


def _filters(experiment: ExperimentResults, conceptizer: ConvConceptizer) -> Picture:
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
    return Picture(figure, f"filters_{experiment.name}", alt, caption)


def _percent_and_range(chance: Chance) -> str:
    return f"{100 * chance.mean:.0f} % ({100 * chance.low:.0f} to {100 * chance.high:.0f})"


def _with_bounds(mean: str, interval: Interval | None, scale: float = 1, decimals: int = 2) -> str:
    return f"{mean} ({wording.bounds(interval, scale, decimals)})" if interval else mean
