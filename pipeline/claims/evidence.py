"""The numbers that stand for claims made in words."""

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from pipeline.claims.results import LATENT_SPACE, ExperimentResults, Results
from pipeline.explanations.prototypes import chance_purities, highest_activation, purity
from pipeline.metrics.intervals import Interval, Outcome, Z, interval
from pipeline.metrics.neighbours import Distances


class OverSeeds(NamedTuple):
    """One number a seed for which it is defined, and the 95 % interval of their mean.

    The interval is None with fewer than two of them.
    """

    values: list[float]
    interval: Interval | None

    def __str__(self) -> str:
        return f"{statistics.fmean(self.values):.2f}"


class Evidence(NamedTuple):
    """The number that stands for a qualitative claim.

    `quantity` says what it is, and `remark` what to compare it with, as in `Verdict`. `outcome` is
    that of the claim's rule, if it has one.
    """

    here: Interval | None
    quantity: str
    remark: str = ""
    outcome: Outcome | None = None


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


def ratios(distances: Sequence[Distances]) -> OverSeeds:
    """`Distances.ratio`, its interval over seeds and test examples.

    Not defined for any seed if a model gives all examples the same.
    """
    values = [one.ratio() for one in distances]
    known = [ratio for ratio in values if ratio is not None]
    if len(known) < len(values):
        return OverSeeds([], None)
    half = Z * statistics.fmean(one.standard_error() or 0 for one in distances)
    return _over_seeds(known, math.inf, half)


def purities(experiment: ExperimentResults, count: int) -> OverSeeds:
    """`purity` of the `count` prototypes of highest activation, mean over concepts."""
    labels = experiment.data.test.y
    outputs = experiment.test_outputs
    chosen = [highest_activation(output.concepts, count) for output in outputs]
    return _over_seeds([purity(places, labels).mean().item() for places in chosen], 1)


def correlations(experiment: ExperimentResults) -> OverSeeds:
    """Mean |correlation| between concepts."""
    return _over_seeds(experiment.headline["concept_correlation"].dropna().tolist(), 1)


def _over_seeds(values: list[float], most: float, half: float = 0.0) -> OverSeeds:
    """`half` is the half width of the interval over test examples."""
    known = interval(values, half, half).within(0, most) if len(values) > 1 else None
    return OverSeeds(values, known)


def _stability(experiment: ExperimentResults) -> Evidence:
    (space, studies), *others = experiment.neighbour_studies.items()
    where = "the β-VAE’s latent space" if space == LATENT_SPACE else "pixels"
    quantity = f"relevance distance of neighbours in {where} over that of random pairs"
    relevances = ratios([study.relevances for study in studies])
    if not relevances.values:
        return Evidence(None, quantity, "all relevances are the same, whatever the digit")
    concepts = ratios([study.concepts for study in studies])
    beside = ["0: equal, 1: no more alike"]
    if concepts.values:
        beside.append(f"concepts: {concepts}")
    for other, of_other in others:
        beside.append(f"relevances in {other}: {ratios([s.relevances for s in of_other])}")
    return _evidence(relevances, quantity, beside)


def _purity(experiment: ExperimentResults, count: int) -> Evidence:
    chance = chance_purities(experiment.data.test.y, count).mean().item()
    return _evidence(
        purities(experiment, count),
        f"share of the commonest digit in the {count} images that activate a concept most",
        [f"random images: {chance:.2f}"],
    )


def _diversity(disenn: ExperimentResults, senn: ExperimentResults | None, count: int) -> Evidence:
    quantity = "mean |correlation| between DiSENN’s concepts"
    of_disenn = correlations(disenn)
    if not of_disenn.values:
        return Evidence(None, quantity, "undefined: its concepts are constant")
    beside = []
    if senn is not None:
        if (of_senn := correlations(senn)).values:
            beside.append(f"SENN’s: {of_senn}")
        share, there = (purities(one, count) for one in (disenn, senn))
        beside.append(f"share of the commonest digit: {share}, SENN’s {there}")
    return _evidence(of_disenn, quantity, beside)


def _evidence(measured: OverSeeds, quantity: str, beside: list[str]) -> Evidence:
    """With one seed there is no interval, and the number moves into the remark."""
    alone = [] if measured.interval else [f"one seed: {measured}"]
    return Evidence(measured.interval, quantity, "; ".join([*alone, *beside]))
