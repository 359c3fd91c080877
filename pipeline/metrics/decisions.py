"""What an interval decides: the one rule by which claims, predictions and winners are judged.

docs/intervals.md states the rule in words. A 95 % interval *excludes* whatever lies outside it, and
decides a question only if it leaves one answer: an interval that lies on both sides of a bound, or
includes two rival answers, leaves the question undecided. An interval that touches a bound does not
exclude it.
"""

from collections.abc import Iterable
from typing import Literal

from pipeline.metrics.intervals import Interval

Outcome = Literal["supported", "not supported", "undecided", "not determinable"]


def excludes(here: Interval, low: float, high: float | None = None) -> bool:
    """Whether all of [low, high] lies outside the interval; `high` is `low` if left out."""
    return here.high < low or (low if high is None else high) < here.low


def lies_in(here: Interval, low: float, high: float) -> Outcome:
    """Whether a quantity lies between two bounds, of which one may be infinite, as predicted."""
    if low < here.low and here.high < high:
        return "supported"
    return "not supported" if excludes(here, low, high) else "undecided"


def singles_out(here: Interval, predicted: float, rivals: Iterable[float]) -> Outcome:
    """Whether a quantity is the one that was predicted, rather than one of its `rivals`."""
    if excludes(here, predicted):
        return "not supported"
    return "supported" if all(excludes(here, rival) for rival in rivals) else "undecided"


def together(outcomes: Iterable[Outcome]) -> Outcome:
    """The outcome of a prediction about several quantities: it fails if it fails for one."""
    of_each = set(outcomes)
    worst_first: tuple[Outcome, ...] = ("not supported", "not determinable", "undecided")
    return next((outcome for outcome in worst_first if outcome in of_each), "supported")
