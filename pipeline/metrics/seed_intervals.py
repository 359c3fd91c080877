"""95 % intervals of means over seeds: of whatever was measured, of accuracies, of accuracy lost."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

TAILS = (0.025, 0.975)
Z = float(stats.norm.ppf(TAILS[1]))  # half widths of a normal interval, in standard errors


class Interval(NamedTuple):
    """A number measured over seeds, mostly a mean, and the ends of its 95 % interval."""

    mean: float
    low: float
    high: float

    def within(self, least: float, most: float) -> "Interval":
        """The same where the quantity can only be from `least` to `most`."""
        return Interval(self.mean, max(self.low, least), min(self.high, most))


def seed_interval(
    of_seeds: Sequence[float], below: float = 0.0, above: float = 0.0
) -> Interval | None:
    """95 % interval of the mean over seeds; None with fewer than two, whose scatter is unknown.

    Two sources of chance, taken as independent: training, seen in the scatter over seeds, and the
    finite test set that all seeds share. Student's t, with the degrees of freedom of a sum of
    variances of which only the first was estimated from few values (Welch-Satterthwaite).

    Parameters
    ----------
    of_seeds : one value a seed.
    below, above : how far the interval over resampled test sets reaches to either side.
    """
    count = len(of_seeds)
    if count < 2:
        return None
    mean = float(np.mean(of_seeds))
    training = float(np.var(of_seeds, ddof=1)) / count
    total = training + ((below + above) / 2 / Z) ** 2
    freedom = (count - 1) * (total / training) ** 2 if training > 0 else math.inf
    half = float(stats.t.ppf(TAILS[1], freedom)) * math.sqrt(total)
    return Interval(mean, mean - half, mean + half)


def accuracy_interval(cells: pd.DataFrame) -> Interval | None:
    """`seed_interval` of the test accuracy of `cells`, one row a seed."""
    half = float(np.mean(_half_widths(cells)))
    interval = seed_interval(cells["accuracy"].tolist(), half, half)
    return interval and interval.within(0, 1)


def lost_interval(before: pd.DataFrame, after: pd.DataFrame) -> Interval | None:
    """`seed_interval` of the accuracy lost between two tables of cells, their index the seed.

    Seed by seed, since a seed's models share all randomness but λ. They also share the test set;
    its part of the interval is taken as if they did not, which makes it wider, never narrower.
    """
    lost = (before["accuracy"] - after["accuracy"]).dropna()
    one, other = (_half_widths(end.loc[lost.index]) for end in (before, after))
    half = float(np.mean(np.hypot(one, other)))
    interval = seed_interval(lost.tolist(), half, half)
    return interval and interval.within(-1, 1)


def _half_widths(cells: pd.DataFrame) -> np.ndarray:
    return ((cells["accuracy_high"] - cells["accuracy_low"]) / 2).to_numpy()
