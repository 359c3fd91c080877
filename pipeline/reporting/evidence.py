"""The numbers that stand for claims made in words."""

import math
import statistics
from collections.abc import Sequence

from pipeline.explanations.prototypes import chance_purities, highest_activation, purity
from pipeline.metrics.intervals import Interval, Z, seed_interval
from pipeline.metrics.neighbours import Distances
from pipeline.reporting.results import LATENT_SPACE, ExperimentResults, Results
from pipeline.reporting.verdicts import Evidence


def qualitative_evidence(results: Results) -> dict[str, Evidence]:
    """Evidence per id of a qualitative claim, as far as this run has it."""
    evidence = {}
    senn = results.experiments.get("mnist_senn")
    disenn = results.experiments.get("mnist_disenn")
    count = results.params.report.prototypes
    if senn is not None and senn.has_images and senn.learns_concepts:
        evidence["stable-explanations"] = _stability(senn)
        evidence["poor-explanations"] = _purity(senn, count)
    if disenn is not None and disenn.has_images and disenn.is_disenn:
        evidence["disenn-diversity"] = _diversity(disenn, senn, count)
    return evidence


def ratios(distances: Sequence[Distances]) -> list[float]:
    """`Distances.ratio`, one a seed; none at all if a model gives all examples the same."""
    found = [one.ratio() for one in distances]
    return [] if None in found else [ratio for ratio in found if ratio is not None]


def ratio_interval(distances: Sequence[Distances]) -> Interval | None:
    """95 % interval of `ratios`, over seeds and test examples; None with fewer than two seeds."""
    found = ratios(distances)
    if not found:
        return None
    half = Z * statistics.fmean(one.standard_error() or 0 for one in distances)
    return _within(seed_interval(found, half, half), math.inf)


def purities(experiment: ExperimentResults, count: int) -> list[float]:
    """`purity` of the `count` prototypes of highest activation, mean over concepts, one a seed."""
    labels = experiment.data.test.y
    return [
        purity(highest_activation(output.concepts, count), labels).mean().item()
        for output in experiment.test_outputs
    ]


def purity_interval(experiment: ExperimentResults, count: int) -> Interval | None:
    """95 % interval of `purities`, over seeds."""
    return _within(seed_interval(purities(experiment, count)), 1)


def correlations(experiment: ExperimentResults) -> list[float]:
    """Mean |correlation| between concepts, one a seed for which it is defined."""
    return experiment.headline["concept_correlation"].dropna().tolist()


def correlation_interval(experiment: ExperimentResults) -> Interval | None:
    """95 % interval of `correlations`, over seeds."""
    return _within(seed_interval(correlations(experiment)), 1)


def _stability(experiment: ExperimentResults) -> Evidence:
    (space, studies), *others = experiment.neighbour_studies.items()
    relevances = [study.relevances for study in studies]
    where = "the β-VAE’s latent space" if space == LATENT_SPACE else "pixels"
    quantity = f"relevance distance of neighbours in {where} over that of random pairs"
    if not (found := ratios(relevances)):
        return Evidence(None, quantity, "all relevances are the same, whatever the digit")
    of_concepts = ratios([study.concepts for study in studies])
    beside = ["0: equal, 1: no more alike"]
    if of_concepts:
        beside.append(f"concepts: {_mean(of_concepts)}")
    for other, of_other in others:
        beside.append(f"relevances in {other}: {_mean(ratios([s.relevances for s in of_other]))}")
    return _evidence(found, ratio_interval(relevances), quantity, beside)


def _purity(experiment: ExperimentResults, count: int) -> Evidence:
    chance = chance_purities(experiment.data.test.y, count).mean().item()
    return _evidence(
        purities(experiment, count),
        purity_interval(experiment, count),
        f"share of the commonest digit in the {count} images that activate a concept most",
        [f"random images: {chance:.2f}"],
    )


def _diversity(disenn: ExperimentResults, senn: ExperimentResults | None, count: int) -> Evidence:
    quantity = "mean |correlation| between DiSENN’s concepts"
    found = correlations(disenn)
    if not found:
        return Evidence(None, quantity, "undefined: its concepts are constant")
    beside = []
    if senn is not None:
        if there := correlations(senn):
            beside.append(f"SENN’s: {_mean(there)}")
        own, other = (_mean(purities(one, count)) for one in (disenn, senn))
        beside.append(f"share of the commonest digit: {own}, SENN’s {other}")
    return _evidence(found, correlation_interval(disenn), quantity, beside)


def _evidence(
    found: list[float], interval: Interval | None, quantity: str, beside: list[str]
) -> Evidence:
    """With one seed there is no interval, and the number moves into the remark."""
    alone = [] if interval else [f"one seed: {_mean(found)}"]
    return Evidence(interval, quantity, "; ".join([*alone, *beside]))


def _within(interval: Interval | None, most: float) -> Interval | None:
    return interval and interval.within(0, most)


def _mean(values: list[float]) -> str:
    return f"{statistics.fmean(values):.2f}"
