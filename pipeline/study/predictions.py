"""What the formulas predict of a study, and whether the numbers bear it out.

Every prediction has a rule by which it can fail, that of `pipeline.metrics.intervals`. An interval
that lies wholly where it was predicted supports it, one that lies wholly elsewhere does not, and
any other leaves it undecided. A number that was predicted is supported if the interval includes it
and excludes its rivals.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.metrics.intervals import Interval, Outcome, interval, lies_in, singles_out, together
from pipeline.study.definitions import Definition
from pipeline.study.measured import MeasuredStudy, batch_factor, of_draws

Hypothesis = Literal[
    "a batch weighs √B",
    "linear is free",
    "constant in the end",
    "review costs more",
    "one trade-off",
]


@dataclass(frozen=True)
class Prediction:
    """One prediction, what was measured, and what follows.

    Attributes
    ----------
    about : Definition or str
        The definition, variant or reduction that it is about; empty: all.
    expected : float
        The number that `measured` is compared with: a factor, an accuracy, or a difference of them.
    measured : tuple of Interval
        At each of `lambdas`; one number, if there are none.
    bound : float
        Of a constant in the end, the λ from which on it is predicted.
    """

    kind: Hypothesis
    about: Definition | str
    expected: float
    measured: tuple[Interval, ...]
    outcome: Outcome
    lambdas: tuple[float, ...] = ()
    bound: float = math.nan


def predictions(study: MeasuredStudy) -> list[Prediction]:
    """All that can be said of this study, in the order of the report's hypotheses."""
    checks: tuple[Callable[[MeasuredStudy], Iterator[Prediction]], ...] = (
        _weight_of_a_batch,
        _linear_is_free,
        _constant_in_the_end,
        _who_pays_more,
        _one_trade_off,
    )
    return [prediction for check in checks for prediction in check(study)]


def _weight_of_a_batch(study: MeasuredStudy) -> Iterator[Prediction]:
    """√B, as of a norm of B parts, and neither 1, as of their mean, nor B, as of their sum.

    Each is √B times the one before. A factor whose interval spans more than that from end to end is
    not determinable from these curves, nor is any from curves of fewer than three λ.
    """
    size = study.settings.batch_size
    expected = math.sqrt(size)
    for variant in study.cells["variant"].unique():
        if len(study.definitions(variant)) < 2:  # both reductions
            continue
        factor = batch_factor(study.curves, variant)
        is_vague = factor.high / factor.low > expected or len(study.lambdas) < 3
        outcome = "not determinable" if is_vague else singles_out(factor, expected, (1, size))
        yield Prediction("a batch weighs √B", variant, expected, (factor,), outcome)


def _linear_is_free(study: MeasuredStudy) -> Iterator[Prediction]:
    if "linear_accuracy" not in study.references:
        return
    linear, most = study.references["linear_accuracy"], study.lambdas[-1]
    for definition in study.definitions("paper2018"):
        here = study.accuracy_at(definition, most)
        outcome = lies_in(here, linear, math.inf)
        yield Prediction("linear is free", definition, linear, (here,), outcome)


def _constant_in_the_end(study: MeasuredStudy) -> Iterator[Prediction]:
    """The accuracy of a constant classifier, and not a linear one's, from the bound on."""
    for definition in study.definitions("review2020"):
        bound = study.references.get(f"constant_from_{definition.reduction}", math.inf)
        beyond = tuple(value for value in study.lambdas if value >= bound)
        if not beyond:
            continue
        constant, linear = (study.references[f"{name}_accuracy"] for name in ("majority", "linear"))
        at = tuple(study.accuracy_at(definition, value) for value in beyond)
        outcome = together(singles_out(here, constant, (linear,)) for here in at)
        yield Prediction("constant in the end", definition, constant, at, outcome, beyond, bound)


def _who_pays_more(study: MeasuredStudy) -> Iterator[Prediction]:
    most = study.lambdas[-1]
    for review in study.definitions("review2020"):
        paper = Definition("paper2018", review.reduction)
        if paper in study.definitions():
            by_seed = study.lost_by_seed(review, most) - study.lost_by_seed(paper, most)
            more = interval(by_seed.tolist())
            outcome = lies_in(more, 0, math.inf)
            yield Prediction("review costs more", review.reduction, 0, (more,), outcome)


def _one_trade_off(study: MeasuredStudy) -> Iterator[Prediction]:
    if "variant" not in study.comparisons:
        return
    loss = study.errors["robustness_loss", "variant"]
    weight = study.errors["robust_reg", "variant"]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = of_draws(loss / weight)
    yield Prediction("one trade-off", "", 1, (ratio,), lies_in(ratio, -math.inf, 1))
