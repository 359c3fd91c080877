"""The published accuracies against λ, and which definition of the robustness loss has whose curve.

"paper" and "review" as in `pipeline.claims.published`; the review's curves are the results that its
repository ships. Accuracies are shares in [0, 1].
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pipeline.metrics.intervals import Interval
from pipeline.study.definitions import Definition
from pipeline.study.measured import MeasuredStudy, of_draws


@dataclass(frozen=True)
class PublishedCurve:
    """Published accuracies against λ: `points` maps λ to one value per published seed."""

    experiment: str
    label: str
    points: dict[float, tuple[float, ...]]

    @property
    def means(self) -> dict[float, float]:
        """λ, ascending → mean over the published seeds."""
        return {value: float(np.mean(seeds)) for value, seeds in sorted(self.points.items())}


@dataclass(frozen=True)
class PublishedRange:
    """Accuracies in [low, high], published for all λ from `from_lambda` to `to_lambda`."""

    experiment: str
    label: str
    from_lambda: float
    to_lambda: float
    low: float
    high: float


BEST_VALIDATION = "review, best validation accuracy"
TEST = "review, test accuracy"
PAPER = "paper, as quoted"

PUBLISHED_CURVES: tuple[PublishedCurve, ...] = (
    PublishedCurve(
        "compas_senn",
        BEST_VALIDATION,
        {
            1e-4: (0.8000, 0.8100, 0.7750),
            1e-3: (0.7950, 0.7875, 0.7675),
            1e-2: (0.7875, 0.7650, 0.7400),
            1e-1: (0.6875, 0.6725, 0.6950),
            1.0: (0.6625, 0.6150, 0.6375),
        },
    ),
    PublishedCurve("compas_senn", TEST, {1e-4: (0.809,)}),
    # 82 %, and about 4 points less at the other end.
    PublishedCurve("compas_senn", PAPER, {1e-4: (0.82,), 1.0: (0.78,)}),
    PublishedCurve(
        "mnist_senn",
        BEST_VALIDATION,
        {1e-4: (0.9883,), 1e-3: (0.9877,), 1e-2: (0.9830,), 1e-1: (0.9598,), 1.0: (0.2445,)},
    ),
    PublishedCurve("mnist_senn", TEST, {1e-4: (0.989,), 1.0: (0.40,)}),
    PublishedCurve("mnist_disenn", BEST_VALIDATION, {1e-3: (0.9834,)}),
    PublishedCurve("mnist_disenn", TEST, {1e-3: (0.9836,)}),
)

PUBLISHED_RANGES: tuple[PublishedRange, ...] = (
    PublishedRange("mnist_senn", PAPER, 0.0, 1.0, 0.987, 0.991),
)


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
    distance : Interval
        Root mean square over λ of the difference in accuracy lost, in points.
    nearest : float
        In what share of the draws no other definition is nearer.
    here : Interval
        Accuracy lost at the last λ, its interval over seeds and test examples.
    inside : bool
        Whether what was published for that λ lies in this interval.
    """

    definition: Definition
    distance: Interval
    nearest: float
    here: Interval
    inside: bool


def published_losses(experiment: str, lambdas: Sequence[float]) -> list[PublishedLoss]:
    """What was published of `experiment` at these λ, if that includes the smallest, and another.

    The review's is its best validation accuracy, all that it has along λ. Of a range within which
    the accuracies are for all λ, the loss is at most its width, either way.
    """
    losses = []
    for source, label in (("review", BEST_VALIDATION), ("paper", PAPER)):
        for curve in PUBLISHED_CURVES:
            if (curve.experiment, curve.label) == (experiment, label):
                means = curve.means
                later = tuple(value for value in lambdas[1:] if value in means)
                if lambdas[0] in means and later:
                    lost = tuple(means[lambdas[0]] - means[value] for value in later)
                    losses.append(PublishedLoss(source, later, lost, lost))
        for span in PUBLISHED_RANGES:
            if (span.experiment, span.label) == (experiment, label):
                later = tuple(v for v in lambdas[1:] if span.from_lambda <= v <= span.to_lambda)
                width = (span.high - span.low,) * len(later)
                if later and span.from_lambda <= lambdas[0]:
                    low = tuple(-value for value in width)
                    losses.append(PublishedLoss(source, later, low, width))
    return losses


def nearness(study: MeasuredStudy, published: PublishedLoss) -> list[Nearness]:
    """Of every definition, the nearest first."""
    low, high = np.array(published.low), np.array(published.high)
    distances = {}
    for definition, lost in study.curves.lost(published.lambdas).items():
        excess = np.maximum(low - lost, 0) + np.maximum(lost - high, 0)
        distances[definition] = 100 * np.sqrt(np.square(excess).mean(axis=1))
    least = np.min(list(distances.values()), axis=0)
    ranked = []
    for definition, values in distances.items():
        here = study.lost_at(definition, published.lambdas[-1])
        inside = bool(here.low <= high[-1] and low[-1] <= here.high)
        share = float((values <= least)[1:].mean())
        ranked.append(Nearness(definition, of_draws(values), share, here, inside))
    return sorted(ranked, key=lambda one: one.distance.mean)
