"""95 % intervals of means over seeds: of whatever was measured, of accuracies, of accuracy lost."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

CONFIDENCE = 0.95


class Interval(NamedTuple):
    """A number measured over seeds, mostly a mean, and the ends of its 95 % interval."""

    mean: float
    low: float
    high: float

    def within(self, least: float, most: float) -> "Interval":
        """The same where the quantity can only be from `least` to `most`."""
        return Interval(self.mean, max(self.low, least), min(self.high, most))


def seed_interval(
    values: Sequence[float], test_half_widths: Sequence[float] | None = None
) -> Interval | None:
    """95 % interval of the mean over seeds.

    Two sources of chance, taken as independent: training, seen in the scatter over seeds, and the
    finite test set that all seeds share. Student's t, with the degrees of freedom of a sum of
    variances of which only the first was estimated from few values (Welch-Satterthwaite).

    Parameters
    ----------
    values : one per seed.
    test_half_widths : half the width of each seed's 95 % interval over resampled test sets.

    Returns
    -------
    None with fewer than two seeds: their scatter is then unknown.
    """
    count = len(values)
    if count < 2:
        return None
    mean, upper = float(np.mean(values)), (1 + CONFIDENCE) / 2
    training = float(np.var(values, ddof=1)) / count
    testing = 0.0
    if test_half_widths is not None:
        testing = float(np.mean(test_half_widths) / stats.norm.ppf(upper)) ** 2
    total = training + testing
    freedom = (count - 1) * (total / training) ** 2 if training > 0 else math.inf
    half = float(stats.t.ppf(upper, freedom)) * math.sqrt(total)
    return Interval(mean, mean - half, mean + half)


def accuracy_interval(cells: pd.DataFrame) -> Interval | None:
    """`seed_interval` of the test accuracy of `cells`, one row a seed."""
    widths = (cells["accuracy_high"] - cells["accuracy_low"]) / 2
    interval = seed_interval(cells["accuracy"].tolist(), widths.tolist())
    return interval and interval.within(0, 1)


def lost_by_seed(before: pd.DataFrame, after: pd.DataFrame) -> pd.Series:
    """Accuracy lost between two tables of cells, seed by seed: they share all randomness but λ."""
    before, after = before.set_index("seed"), after.set_index("seed")
    return (before["accuracy"] - after["accuracy"]).dropna()


def lost_interval(before: pd.DataFrame, after: pd.DataFrame) -> Interval | None:
    """`seed_interval` of `lost_by_seed`.

    The two models of a seed also share the test set; its part of the interval is taken as if they
    did not, which makes it wider, never narrower.
    """
    lost = lost_by_seed(before, after)
    ends = (end.set_index("seed").loc[lost.index] for end in (before, after))
    one, other = ((end["accuracy_high"] - end["accuracy_low"]) / 2 for end in ends)
    interval = seed_interval(lost.tolist(), np.hypot(one, other).tolist())
    return interval and interval.within(-1, 1)
