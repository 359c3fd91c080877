"""A study's curves, accuracy along an axis, as measured and as other seeds might have had them."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from pipeline.metrics.intervals import TAILS
from pipeline.study.definitions import Definition

_SMALLEST = 1e-4  # of an axis's largest value; below it there is nothing to tell apart


class Estimate(NamedTuple):
    """A number and its 95 % interval over seeds."""

    value: float
    low: float
    high: float


def estimate(values: np.ndarray) -> Estimate:
    """Of a statistic's `values` (1 + R,): as measured, then of every draw."""
    low, high = np.quantile(values[1:], TAILS)
    return Estimate(float(values[0]), float(low), float(high))


class Curves:
    """Means over seeds at every point of the curves, a point being (definition, λ).

    Rows of all arrays (1 + R, points): the means as measured, then R draws of them. All definitions
    share their seeds, so an error of the mean is drawn for all points at once: a multivariate
    Student t with the sample covariance over S seeds and S - 1 degrees of freedom. Test examples
    are the same for all definitions, and not drawn.

    Parameters
    ----------
    cells : as `run_study` returns it; at least two seeds.
    batch_size : of the training.
    resamples : R.
    seed : of the draws.
    """

    def __init__(self, cells: pd.DataFrame, batch_size: int, resamples: int, seed: int = 0) -> None:
        names = ["variant", "reduction", "robust_reg"]
        self.points = cells[names].drop_duplicates(ignore_index=True)
        by_seed = cells.set_index([*names, "seed"]).unstack("seed")
        self._cells = by_seed.reindex(pd.MultiIndex.from_frame(self.points))
        seeds = cells["seed"].nunique()
        generator = np.random.default_rng(seed)
        scale = np.sqrt((seeds - 1) / generator.chisquare(seeds - 1, (resamples, 1)))
        drawn = scale * generator.standard_normal((resamples, seeds))
        self._errors = np.vstack([np.zeros(seeds), drawn]) / math.sqrt(seeds * (seeds - 1))
        self._batch_size = batch_size
        self.accuracies: np.ndarray = self._cells["accuracy"].to_numpy()  # (P, S)
        self.accuracy = self._means(self.accuracies)

    def definitions(self) -> Iterator[tuple[Definition, np.ndarray]]:
        """Every definition, and which points (P,) are its own."""
        pairs = self.points[["variant", "reduction"]]
        for pair in pairs.drop_duplicates().itertuples(index=False):
            yield Definition(*pair), (pairs == list(pair)).all(axis=1).to_numpy()

    def lost(self, lambdas: Sequence[float]) -> dict[Definition, np.ndarray]:
        """Accuracy lost from the smallest λ to each of `lambdas`, (1 + R, λ), by definition."""
        found = {}
        for definition, own in self.definitions():
            along = self.points["robust_reg"][own].tolist()
            accuracy = self.accuracy[:, own]
            chosen = [along.index(value) for value in lambdas]
            found[definition] = accuracy[:, [along.index(min(along))]] - accuracy[:, chosen]
        return found

    def axis(self, name: str) -> np.ndarray:
        """log₁₀ of where the points lie on an axis, (1 + R, P); NaN where it is not defined.

        `robust_reg`, λ; `per_example`, the λ of the mean over examples that weighs as much: √B λ
        under ``batch``; else a column of the cells, its mean over seeds.
        """
        if name in ("robust_reg", "per_example"):
            weight = self.points["robust_reg"].to_numpy()
            if name == "per_example":
                summed = (self.points["reduction"] == "batch").to_numpy()
                weight = weight * np.where(summed, math.sqrt(self._batch_size), 1.0)
            return np.tile(np.log10(weight), (len(self._errors), 1))
        return self._means(self.by_seed(name))

    def by_seed(self, column: str) -> np.ndarray:
        """log₁₀ of a column of the cells, (P, S); what is next to nothing is all the same."""
        values = self._cells[column].to_numpy()
        floor = max(_SMALLEST * np.nanmax(values, initial=0.0), np.finfo(float).tiny)
        return np.log10(np.maximum(values, floor))

    def _means(self, values: np.ndarray) -> np.ndarray:
        """Means (1 + R, P) of values (P, seeds)."""
        mean = values.mean(axis=1, keepdims=True)
        return (mean + (values - mean) @ self._errors.T).T
