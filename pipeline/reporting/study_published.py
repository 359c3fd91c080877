"""Which definition of the robustness loss has whose published curve."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pipeline.metrics.intervals import Interval, lost_interval
from pipeline.reporting import wording
from pipeline.reporting.claims import (
    BEST_VALIDATION,
    PAPER,
    PUBLISHED_CURVES,
    PUBLISHED_RANGES,
)
from pipeline.reporting.study_predictions import Study
from pipeline.reporting.style import lambda_label
from pipeline.study.curves import Estimate, estimate
from pipeline.study.definitions import Definition

_POSSIBLE = 0.05  # a definition nearest in fewer draws than this is not taken for the nearest


class PublishedLoss(NamedTuple):
    """Accuracy that `source` lost from the smallest λ to each of `lambdas`: within [low, high]."""

    source: str
    lambdas: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class Nearness:
    """How far a definition's curve is from a published one.

    Attributes
    ----------
    distance : Estimate
        Root mean square over λ of the difference in accuracy lost, in points.
    nearest : float
        In what share of the draws no other definition is nearer.
    here : Interval
        Accuracy lost at the last λ, its interval over seeds and test examples.
    inside : bool
        Whether what was published for that λ lies in this interval.
    """

    definition: Definition
    distance: Estimate
    nearest: float
    here: Interval
    inside: bool


def published_losses(experiment: str, lambdas: Sequence[float]) -> list[PublishedLoss]:
    """What was published of `experiment` at these λ, if that includes the smallest, and another.

    The review's is its best validation accuracy, all that it has along λ. Of a range within which
    the accuracies are for all λ, the loss is at most its width, either way.
    """
    found = []
    for source, label in (("review", BEST_VALIDATION), ("paper", PAPER)):
        for curve in PUBLISHED_CURVES:
            if (curve.experiment, curve.label) == (experiment, label):
                means = {value: float(np.mean(curve.points[value])) for value in curve.points}
                later = tuple(value for value in lambdas[1:] if value in means)
                if lambdas[0] in means and later:
                    lost = tuple(means[lambdas[0]] - means[value] for value in later)
                    found.append(PublishedLoss(source, later, lost, lost))
        for span in PUBLISHED_RANGES:
            if (span.experiment, span.label) == (experiment, label):
                later = tuple(v for v in lambdas[1:] if span.from_lambda <= v <= span.to_lambda)
                width = (span.high - span.low,) * len(later)
                if later and span.from_lambda <= lambdas[0]:
                    low = tuple(-value for value in width)
                    found.append(PublishedLoss(source, later, low, width))
    return found


def nearness(study: Study, published: PublishedLoss) -> list[Nearness]:
    """Of every definition, the nearest first."""
    low, high = np.array(published.low), np.array(published.high)
    distances = {}
    for definition, lost in study.curves.lost(published.lambdas).items():
        excess = np.maximum(low - lost, 0) + np.maximum(lost - high, 0)
        distances[definition] = 100 * np.sqrt(np.square(excess).mean(axis=1))
    least = np.min(list(distances.values()), axis=0)
    found = []
    for definition, values in distances.items():
        here = lost_at(study, definition, published.lambdas[-1])
        inside = bool(here.low <= high[-1] and low[-1] <= here.high)
        share = float((values <= least)[1:].mean())
        found.append(Nearness(definition, estimate(values), share, here, inside))
    return sorted(found, key=lambda one: one.distance.value)


def lost_at(study: Study, definition: Definition, robust_reg: float) -> Interval:
    """Accuracy lost from the smallest λ to another, as claims of it are judged."""
    interval = lost_interval(*(study.at(definition, v) for v in (study.lambdas[0], robust_reg)))
    assert interval is not None, "a study has two seeds or more"
    return interval


def conclusion(published: PublishedLoss, found: Sequence[Nearness]) -> str:
    """What the numbers allow to say of one published curve, in Markdown.

    Parameters
    ----------
    found : as `nearness` returns it.
    """
    whose = f"the {published.source}’s curve"
    possible = [one for one in found if one.nearest >= _POSSIBLE or one is found[0]]
    names = wording.listed([f"`{one.definition}`" for one in possible])
    first = found[0]
    if len(possible) > 1:
        said = (
            f"**Nearest to {whose}: {names}, which the seeds cannot tell apart.** The first is "
            f"{_distance(first)} away."
        )
    else:
        said = (
            f"**Nearest to {whose}: {names}**, {_distance(first)} away, in "
            f"{wording.percent(first.nearest)} of the draws."
        )
        if len(found) > 1:
            said += f" Next is `{found[1].definition}`, {_distance(found[1])}."
    most, there = lambda_label(published.lambdas[-1]), _there(published)
    same = [one for one in found if one.inside]
    if same:
        holding = wording.listed([f"`{one.definition}` {_lost(one)}" for one in same])
        return f"{said} The {there} lost there at λ = {most} lie within the interval of {holding}."
    return (
        f"{said} **But none is like it**: λ = {most} cost {there} there, under "
        f"`{first.definition}` {_lost(first)}."
    )


def _there(published: PublishedLoss) -> str:
    low, high = published.low[-1], published.high[-1]
    if low == high:
        return f"{wording.points(high)} points"
    return f"at most {wording.points(high)} points"


def _lost(one: Nearness) -> str:
    return f"{wording.points(one.here.mean)} points ({wording.bounds(one.here, 100, 1)})"


def _distance(one: Nearness) -> str:
    away = one.distance
    return f"{away.value:.1f} points ({wording.bounds(away, decimals=1)})"
