"""The numbers that stand for claims made in words."""

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from scipy import stats

from pipeline.claims.results import LATENT_SPACE, ExperimentResults, Results
from pipeline.explanations.neighbours import Distances
from pipeline.explanations.prototypes import chance_purities, highest_activation, purity
from pipeline.metrics.seed_intervals import CONFIDENCE, Interval, seed_interval


class Evidence(NamedTuple):
    """The number that stands for a qualitative claim.

    `quantity` says what it is, and `remark` what to compare it with, as in `Verdict`.
    """

    here: Interval | None
    quantity: str
    remark: str = ""


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
    by_seed = [one.ratio() for one in distances]
    return [] if None in by_seed else [ratio for ratio in by_seed if ratio is not None]


def ratio_interval(distances: Sequence[Distances]) -> Interval | None:
    """95 % interval of `ratios`, over seeds and test examples; None with fewer than two seeds."""
    upper = stats.norm.ppf((1 + CONFIDENCE) / 2)
    errors = [one.standard_error() for one in distances]
    widths = [upper * error for error in errors if error is not None]
    by_seed = ratios(distances)
    return _within(seed_interval(by_seed, widths), math.inf) if by_seed else None


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
    if not (of_relevances := ratios(relevances)):
        return Evidence(None, quantity, "all relevances are the same, whatever the digit")
    of_concepts = ratios([study.concepts for study in studies])
    beside = ["0: equal, 1: no more alike"]
    if of_concepts:
        beside.append(f"concepts: {_mean(of_concepts)}")
    for other, of_other in others:
        beside.append(f"relevances in {other}: {_mean(ratios([s.relevances for s in of_other]))}")
    return _evidence(of_relevances, ratio_interval(relevances), quantity, beside)


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
    of_disenn = correlations(disenn)
    if not of_disenn:
        return Evidence(None, quantity, "undefined: its concepts are constant")
    beside = []
    if senn is not None:
        if of_senn := correlations(senn):
            beside.append(f"SENN’s: {_mean(of_senn)}")
        share, there = (_mean(purities(one, count)) for one in (disenn, senn))
        beside.append(f"share of the commonest digit: {share}, SENN’s {there}")
    return _evidence(of_disenn, correlation_interval(disenn), quantity, beside)


def _evidence(
    by_seed: list[float], interval: Interval | None, quantity: str, beside: list[str]
) -> Evidence:
    """With one seed there is no interval, and the number moves into the remark."""
    alone = [] if interval else [f"one seed: {_mean(by_seed)}"]
    return Evidence(interval, quantity, "; ".join([*alone, *beside]))


def _within(interval: Interval | None, most: float) -> Interval | None:
    return interval and interval.within(0, most)


def _mean(values: list[float]) -> str:
    return f"{statistics.fmean(values):.2f}"
