"""The numbers that stand for claims made in words."""

import statistics

from pipeline.explanations.prototypes import chance_purity, highest_activation, purity
from pipeline.reporting.results import NEIGHBOURS, ExperimentResults, Results
from pipeline.reporting.verdicts import Evidence, seed_interval


def qualitative_evidence(results: Results) -> dict[str, Evidence]:
    """Evidence per id of a qualitative claim, as far as this run has it."""
    evidence = {}
    senn = results.experiments.get("mnist_senn")
    disenn = results.experiments.get("mnist_disenn")
    if senn is not None and senn.has_images and senn.learns_concepts:
        evidence["stable-explanations"] = _stability(senn)
        evidence["poor-explanations"] = _purity(senn, results.params.report.prototypes)
    if disenn is not None and disenn.has_images and disenn.is_disenn:
        evidence["disenn-diversity"] = _diversity(disenn, senn)
    return evidence


def mean_purities(experiment: ExperimentResults, count: int) -> list[float]:
    """`purity` of the `count` prototypes of highest activation, mean over concepts, one a seed."""
    labels = experiment.data.test.y
    return [
        purity(highest_activation(output.concepts, count), labels).mean().item()
        for output in experiment.test_outputs
    ]


def _stability(experiment: ExperimentResults) -> Evidence:
    ratios = [study.ratio() for study in experiment.neighbour_studies]
    defined = [ratio for ratio in ratios if ratio is not None]
    if not defined:
        return Evidence(None, "all relevances are the same, whatever the digit")
    return Evidence(
        seed_interval(defined),
        f"relevance distance of {NEIGHBOURS} nearest neighbours over that of random digits: "
        f"{_mean(defined)} (0: equal, 1: no more alike than any two)",
    )


def _purity(experiment: ExperimentResults, count: int) -> Evidence:
    purities = mean_purities(experiment, count)
    chance = chance_purity(experiment.data.test.y, count)
    return Evidence(
        seed_interval(purities),
        f"of a concept’s {count} strongest digits, share of the commonest class: "
        f"{_mean(purities)} ({count} random digits: {chance:.2f})",
    )


def _diversity(disenn: ExperimentResults, senn: ExperimentResults | None) -> Evidence:
    here = disenn.headline["concept_correlation"].dropna().tolist()
    if not here:
        return Evidence(None, "the correlation between concepts is undefined")
    beside = ""
    if senn is not None:
        there = senn.headline["concept_correlation"].dropna().tolist()
        beside = f", SENN’s {_mean(there)}" if there else ""
    return Evidence(
        seed_interval(here), f"mean |correlation| between DiSENN’s concepts: {_mean(here)}{beside}"
    )


def _mean(values: list[float]) -> str:
    return f"{statistics.fmean(values):.2f}"
