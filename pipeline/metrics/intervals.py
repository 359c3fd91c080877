"""The one 95 % interval of this project; docs/intervals.md defines it in words and says why.

A number here is a mean over seeds of something measured on test examples, so chance comes from two
sources: training, seen in the scatter over seeds, and the finite test set. Each has a textbook
interval of its own. The distances from the mean to the ends add up in quadrature (Howe 1974; Zou &
Donner 2008), so that another independent source can only widen the interval.

What an interval decides follows one rule, by which claims, predictions and winners are judged. It
*excludes* whatever lies outside it, and decides a question only if it leaves one answer: an
interval that lies on both sides of a bound, or includes two rival answers, leaves the question
undecided. An interval that touches a bound does not exclude it.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

LEVEL = 0.95
TAILS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
Z = 1.959963984540054  # the normal quantile of TAILS[1]: half widths, in standard errors

Statistic = Literal["mean", "median", "share"]
Outcome = Literal["supported", "not supported", "undecided", "not determinable"]


class Interval(NamedTuple):
    """A mean over seeds and the ends of its 95 % interval."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, row: Mapping[Any, Any] | pd.Series, name: str) -> "Interval":
        """What `columns` made a part of a row, as an interval again."""
        return cls(*(float(row[f"{name}{end}"]) for end in ("", "_low", "_high")))

    def within(self, least: float, most: float) -> "Interval":
        """The same where the quantity can only be from `least` to `most`."""
        return Interval(self.mean, max(self.low, least), min(self.high, most))

    def columns(self, name: str) -> dict[str, float]:
        """As a row of a table has it: ``<name>``, ``<name>_low`` and ``<name>_high``."""
        return {name: self.mean, f"{name}_low": self.low, f"{name}_high": self.high}


def interval(
    of_seeds: Sequence[float] | np.ndarray, below: float = 0.0, above: float = 0.0
) -> Interval:
    """95 % interval of a mean over seeds.

    Parameters
    ----------
    of_seeds : one value a seed. Their part is Student's t interval; one seed has none, and the
        interval then covers test examples only.
    below, above : how far the interval over test examples reaches to either side of the mean.
    """
    mean, seeds, half = float(np.mean(of_seeds)), len(of_seeds), 0.0
    if seeds > 1:
        from scipy.special import stdtrit  # slow to import

        half = stdtrit(seeds - 1, TAILS[1]) * (np.std(of_seeds, ddof=1) / math.sqrt(seeds))
    return Interval(mean, mean - math.hypot(half, below), mean + math.hypot(half, above))


def widened(row: Mapping[Any, Any], name: str, comparisons: int) -> Interval:
    """The interval of a row's `name`, made wide enough for `comparisons` of them to hold together.

    All of them together miss with a probability of at most 5 %, if each misses with 5 % divided by
    their number (Bonferroni). So the distances to the ends grow as the quantile does: the normal
    one with one seed, and with several Student's, which grows faster, as training's part does.

    Parameters
    ----------
    row : with the `Interval.columns` of `name`, and ``seeds``, that it is over.
    """
    from scipy.special import ndtri, stdtrit  # slow to import

    here, seeds = Interval.of(row, name), int(row["seeds"])
    alone, together = TAILS[1], 1 - TAILS[0] / comparisons
    if seeds > 1:
        wider = stdtrit(seeds - 1, together) / stdtrit(seeds - 1, alone)
    else:
        wider = ndtri(together) / ndtri(alone)
    below, above = here.mean - here.low, here.high - here.mean
    return Interval(here.mean, here.mean - wider * below, here.mean + wider * above)


def share_interval(share: float, examples: int) -> Interval:
    """Wilson's score interval of a share of `examples`, such as the accuracy of one model.

    Wilson 1927. Unlike the bootstrap's it is never of width 0, not even at shares of 0 and 1.
    """
    scale = 1 + Z**2 / examples
    centre = (share + Z**2 / (2 * examples)) / scale
    half = Z / scale * math.sqrt(share * (1 - share) / examples + (Z / (2 * examples)) ** 2)
    # The share is inside; at 0 and 1 it is an end, up to rounding.
    return Interval(share, min(share, centre - half), max(share, centre + half)).within(0, 1)


def accuracy_interval(cells: pd.DataFrame) -> Interval:
    """`interval` of the mean test accuracy over seeds.

    Parameters
    ----------
    cells : one row a seed: accuracy, and its `share_interval` accuracy_low, accuracy_high.
    """
    below, above = _reach(cells)
    return interval(cells["accuracy"].tolist(), below.mean(), above.mean()).within(0, 1)


def lost_interval(before: pd.DataFrame, after: pd.DataFrame) -> Interval:
    """`interval` of the mean accuracy lost between two models of each seed.

    Seed by seed, since a seed's models share all randomness. Test examples count as in Newcombe's
    interval of a difference (1998, method 10): as if the two models had not shared them, which
    makes it wider, never narrower.

    Parameters
    ----------
    before, after : as for `accuracy_interval`, with the seed as index.
    """
    lost = (before["accuracy"] - after["accuracy"]).dropna()
    (below, above), (below_after, above_after) = (
        _reach(end.loc[lost.index]) for end in (before, after)
    )
    reach = np.hypot(below, above_after).mean(), np.hypot(above, below_after).mean()
    return interval(lost.tolist(), *reach).within(-1, 1)


def difference_interval(one: Interval, other: Interval) -> Interval:
    """Interval of `one` less `other`, two shares, as if nothing were common to them.

    Newcombe's (1998, method 10): the distances to the ends add up in quadrature.
    """
    below = math.hypot(one.mean - one.low, other.high - other.mean)
    above = math.hypot(one.high - one.mean, other.mean - other.low)
    mean = one.mean - other.mean
    return Interval(mean, mean - below, mean + above).within(-1, 1)


def estimate(values: np.ndarray, statistic: Statistic, resamples: int) -> tuple[Interval, int]:
    """Mean over seeds of a statistic over examples, and how many values are undefined.

    The part of test examples is Wilson's interval for a share, else the percentile bootstrap's,
    which draws the same examples for all seeds.

    Parameters
    ----------
    values : (S, N)
        One row a seed, one column an example; NaN, undefined, is left out.
    statistic : over the examples of a seed.
    resamples : of the bootstrap.

    Returns
    -------
    An interval, NaN throughout if a seed has no defined value; and a count.
    """
    undefined = int(np.isnan(values).sum())
    if np.isnan(values).all(1).any():
        return Interval(math.nan, math.nan, math.nan), undefined
    of_seeds = over_examples(values, statistic)
    mean = of_seeds.mean()
    if statistic == "share":
        defined = (~np.isnan(values)).sum(1)
        ends = [share_interval(*seed)[1:] for seed in zip(of_seeds, defined, strict=True)]
        low, high = np.mean(ends, axis=0)
        return interval(of_seeds, mean - low, high - mean).within(0, 1), undefined
    low, high = np.nanquantile(_resampled(values, statistic, resamples), TAILS)
    return interval(of_seeds, max(0.0, mean - low), max(0.0, high - mean)), undefined


def over_examples(values: np.ndarray, statistic: Statistic) -> np.ndarray:
    """A statistic of each seed's `values`, (S,); as for `estimate`, some of each are defined."""
    return np.asarray((np.nanmedian if statistic == "median" else np.nanmean)(values, axis=1))


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


def _reach(cells: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """How far the interval of each accuracy reaches below and above it."""
    return cells["accuracy"] - cells["accuracy_low"], cells["accuracy_high"] - cells["accuracy"]


def _resampled(values: np.ndarray, statistic: Statistic, resamples: int) -> np.ndarray:
    """The mean over seeds of the statistic of each resample of the examples, (resamples,)."""
    often = _often(values.shape[1], resamples)
    if statistic == "median":
        return np.mean([_medians(row, often) for row in values], axis=0)
    defined = ~np.isnan(values)
    sums, counts = np.where(defined, values, 0) @ often, defined.astype(float) @ often
    with np.errstate(invalid="ignore"):  # 0 / 0 where a resample has no defined value
        return (sums / counts).mean(0)


def _medians(values: np.ndarray, often: np.ndarray) -> np.ndarray:
    """The median of each resample of `values` (N,), undefined ones left out, (resamples,).

    Its rank among all values is where the counts of the smaller ones reach half. That is several
    times as fast as drawing the values.
    """
    order = np.argsort(values)[: np.count_nonzero(~np.isnan(values))]
    smaller = often[order].cumsum(0)
    count = smaller[-1]
    ranks = (count + 1) // 2, count // 2 + 1  # two in the middle, or twice the same
    ascending = np.append(values[order], np.nan)  # of a resample without a defined value
    first, second = (ascending[(smaller < rank).sum(0)] for rank in ranks)
    return (first + second) / 2


@lru_cache(maxsize=4)
def _often(examples: int, resamples: int) -> np.ndarray:
    """How often each example is drawn in each resample, (examples, resamples)."""
    drawn = np.random.default_rng(0).integers(examples, size=(resamples, examples))
    counts = np.bincount(
        (drawn * resamples + np.arange(resamples)[:, None]).ravel(), minlength=examples * resamples
    )
    return counts.reshape(examples, resamples).astype(float)
