"""The published accuracies against λ, and which definition of the robustness loss has whose curve.

"paper", "review" and "ETH" as in `pipeline.claims.published`; of the review, best validation
accuracies are those of its logs; the test accuracies of its checkpoints were measured by us.
Accuracies are shares in [0, 1].
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pipeline.metrics.intervals import Interval, excludes
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
CHECKPOINTS = "review, checkpoints on the test set"
TEST = "review, test accuracy"
ETH = "ETH, test accuracy"
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
    PublishedCurve("compas_senn", CHECKPOINTS, {1e-4: (0.8088,), 1.0: (0.659,)}),
    PublishedCurve("compas_senn", TEST, {1e-4: (0.809,)}),
    # 82 %, and about 4 points less at the other end.
    PublishedCurve("compas_senn", PAPER, {1e-4: (0.82,), 1.0: (0.78,)}),
    PublishedCurve(
        "mnist_senn",
        BEST_VALIDATION,
        {1e-4: (0.9883,), 1e-3: (0.9877,), 1e-2: (0.9830,), 1e-1: (0.9598,), 1.0: (0.2445,)},
    ),
    PublishedCurve(
        "mnist_senn",
        CHECKPOINTS,
        {1e-4: (0.9889,), 1e-3: (0.9884,), 1e-2: (0.9823,), 1e-1: (0.9627,), 1.0: (0.2630,)},
    ),
    PublishedCurve(
        "mnist_senn",
        ETH,
        {1e-4: (0.9899,), 1e-3: (0.9889,), 1e-2: (0.9868,), 1e-1: (0.9712,), 1.0: (0.1030,)},
    ),
    PublishedCurve("mnist_senn", TEST, {1e-4: (0.989,), 1.0: (0.40,)}),
    PublishedCurve("mnist_disenn", BEST_VALIDATION, {1e-3: (0.9834,)}),
    PublishedCurve("mnist_disenn", TEST, {1e-3: (0.9836,)}),
)

# Of each source the labels of curves along λ; of equally long ones the first is compared with.
_ALONG = {"review": (CHECKPOINTS, BEST_VALIDATION), "paper": (PAPER,), "ETH": (ETH,)}

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


def published_along(experiment: str) -> dict[str, PublishedCurve]:
    """The longest curve along λ of every source that has one: source → curve.

    A test accuracy comes before a validation accuracy. For MNIST the review's is that of its
    checkpoints, for COMPAS its best validation accuracy: of the checkpoints there are only two λ.
    """
    chosen = {}
    for source, labels in _ALONG.items():
        curves = [
            curve
            for label in labels
            for curve in PUBLISHED_CURVES
            if (curve.experiment, curve.label) == (experiment, label) and len(curve.points) > 1
        ]
        if curves:
            chosen[source] = max(curves, key=lambda curve: len(curve.points))
    return chosen


def published_losses(experiment: str, lambdas: Sequence[float]) -> list[PublishedLoss]:
    """What was published of `experiment` at these λ, if that includes the smallest, and another.

    Of a range within which the accuracies are for all λ, the loss is at most its width, either way.
    """
    losses = []
    for source, curve in published_along(experiment).items():
        means = curve.means
        later = tuple(value for value in lambdas[1:] if value in means)
        if lambdas[0] in means and later:
            lost = tuple(means[lambdas[0]] - means[value] for value in later)
            losses.append(PublishedLoss(source, later, lost, lost))
    for span in PUBLISHED_RANGES:
        if span.experiment == experiment:
            later = tuple(v for v in lambdas[1:] if span.from_lambda <= v <= span.to_lambda)
            width = (span.high - span.low,) * len(later)
            if later and span.from_lambda <= lambdas[0]:
                low = tuple(-value for value in width)
                losses.append(PublishedLoss("paper", later, low, width))
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
        inside = not excludes(here, low[-1], high[-1])
        share = float((values <= least)[1:].mean())
        ranked.append(Nearness(definition, of_draws(values), share, here, inside))
    return sorted(ranked, key=lambda one: one.distance.mean)
