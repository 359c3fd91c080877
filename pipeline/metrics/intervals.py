"""How far to trust a score: bootstrap intervals over test examples and seeds."""

import math
import warnings
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy import stats

from pipeline.metrics.scores import Statistic


class Estimate(NamedTuple):
    """A score, the ends of its 95 % interval, and of how many values it left `undefined` out."""

    value: float
    low: float
    high: float
    undefined: int


def estimate(
    values: np.ndarray, statistic: Statistic, resamples: int, level: float = 0.95
) -> Estimate:
    """Mean over seeds of a statistic over examples, with its bootstrap interval.

    Examples are resampled, the same for all seeds; what chance between seeds adds is `seed_errors`.

    Parameters
    ----------
    values : (S, N)
        One row a seed, one column an example; NaN, undefined, is left out.
    statistic : over the examples of a seed.
    resamples : int
    level : float
        Nominal coverage.

    Returns
    -------
    Estimate
        NaN throughout if a seed has no defined value.
    """
    undefined = int(np.isnan(values).sum())
    if np.isnan(values).all(1).any():
        return Estimate(math.nan, math.nan, math.nan, undefined)
    of_seeds = _over_examples(values, statistic)
    drawn = _draws(values.shape[1], resamples)
    resampled = np.mean([_over_examples(row[drawn], statistic) for row in values], axis=0)
    resampled += seed_errors(of_seeds, resamples, np.random.default_rng(1))
    tail = (1 - level) / 2
    low, high = np.nanquantile(resampled, [tail, 1 - tail])
    return Estimate(float(of_seeds.mean()), float(low), float(high), undefined)


def seed_errors(
    of_seeds: np.ndarray, resamples: int, generator: np.random.Generator
) -> np.ndarray | float:
    """What the choice of seeds adds to each resample's error, (resamples,); 0 with one seed.

    Seeds are too few to be resampled: no resample of three accuracies leaves their range, which
    misses their expectation in a quarter of cases. Their part is a draw from Student's t instead,
    with S - 1 degrees of freedom and the standard error of the S estimates `of_seeds`.
    """
    seeds = len(of_seeds)
    if seeds < 2:
        return 0.0
    # Quantiles in random order: draws whose heavy tails are exact.
    ranks = (generator.permutation(resamples) + 0.5) / resamples
    return of_seeds.std(ddof=1) / math.sqrt(seeds) * stats.t.ppf(ranks, seeds - 1)


@lru_cache(maxsize=4)
def _draws(examples: int, resamples: int) -> np.ndarray:
    """Indices of the examples of each resample, (resamples, examples)."""
    return np.random.default_rng(0).integers(examples, size=(resamples, examples))


def _over_examples(values: np.ndarray, statistic: Statistic) -> np.ndarray:
    """A statistic of each row of `values`, undefined ones left out; NaN where none is defined."""
    if not np.isnan(values).any():
        return values.mean(1) if statistic == "mean" else np.median(values, axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of rows without any
        of_defined = np.nanmean if statistic == "mean" else np.nanmedian
        return np.asarray(of_defined(values, axis=1))
