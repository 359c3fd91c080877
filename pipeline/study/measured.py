"""A study as it was measured: what predictions and published curves are compared with.

Accuracy along an axis, as measured and as other seeds might have had it; and which axis puts the
curves of different definitions on top of each other.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd
from scipy.optimize import isotonic_regression

from pipeline.core.params import Experiment
from pipeline.core.params_choices import Variant
from pipeline.metrics.baselines import REFERENCES
from pipeline.metrics.intervals import TAILS, Interval, accuracy_interval, lost_interval
from pipeline.study.definitions import Definition

Across = Literal["variant", "reduction"]
AXES = {"robust_reg": False, "per_example": False, "robustness_loss": True,
        "lipschitz_discrete": True}  # fmt: skip
"""Name of an axis, and whether accuracy is expected to rise along it."""
_POINT = ["variant", "reduction", "robust_reg"]  # columns of the cells
_STEP = 0.025  # of log₁₀ of a factor
_FACTORS = np.arange(0, 3 + _STEP / 2, _STEP)
_SMALLEST = 1e-4  # of an axis's largest value; below it there is nothing to tell apart


def of_draws(values: np.ndarray, comparisons: int = 1) -> Interval:
    """Of a statistic's `values` (1 + R,): as measured, then of every draw.

    With several `comparisons` the 5 % that the interval may miss is shared by them (Bonferroni).
    """
    tail = TAILS[0] / comparisons
    low, high = np.quantile(values[1:], (tail, 1 - tail))
    return Interval(float(values[0]), float(low), float(high))


class AccuracyCurves:
    """Means over seeds at every point of the curves, a point being (definition, λ).

    Rows of all arrays (1 + R, points): the means as measured, then R draws of them. All definitions
    share their seeds, so an error of the mean is drawn for all points at once: a multivariate
    Student t with the sample covariance over S seeds and S - 1 degrees of freedom. Test examples
    are the same for all definitions, and not drawn.

    Parameters
    ----------
    cells : the first table of `run_study`; at least two seeds.
    batch_size : of the training.
    resamples : R.
    """

    def __init__(self, cells: pd.DataFrame, batch_size: int, resamples: int) -> None:
        self.points = cells[_POINT].drop_duplicates(ignore_index=True)
        by_seed = cells.set_index([*_POINT, "seed"]).unstack("seed")
        self._cells = by_seed.reindex(pd.MultiIndex.from_frame(self.points))
        seeds = cells["seed"].nunique()
        generator = np.random.default_rng(0)
        scale = np.sqrt((seeds - 1) / generator.chisquare(seeds - 1, (resamples, 1)))
        drawn = scale * generator.standard_normal((resamples, seeds))
        self._errors = np.vstack([np.zeros(seeds), drawn]) / math.sqrt(seeds * (seeds - 1))
        self._batch_size = batch_size
        self.accuracies: np.ndarray = self._cells["accuracy"].to_numpy()  # (P, S)
        self.accuracy = self._means(self.accuracies)

    def definitions(self) -> Iterator[tuple[Definition, np.ndarray]]:
        """Every definition, and the mask (P,) of its points."""
        pairs = self.points[["variant", "reduction"]]
        for pair in pairs.drop_duplicates().itertuples(index=False):
            yield Definition(*pair), (pairs == list(pair)).all(axis=1).to_numpy()

    def lost(self, lambdas: Sequence[float]) -> dict[Definition, np.ndarray]:
        """Accuracy lost from the smallest λ to each of `lambdas`, (1 + R, λ), by definition."""
        lost = {}
        for definition, of_it in self.definitions():
            along = self.points["robust_reg"][of_it].tolist()
            accuracy = self.accuracy[:, of_it]
            chosen = [along.index(value) for value in lambdas]
            lost[definition] = accuracy[:, [along.index(min(along))]] - accuracy[:, chosen]
        return lost

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


def prediction_errors(curves: AccuracyCurves, axis: str, across: Across) -> np.ndarray:
    """How badly accuracy follows from the place on `axis` alone, (1 + R,): a root mean square.

    Every curve in turn is predicted from those that differ from it in `across` and agree with it
    otherwise: by the best monotone function of the axis through them, flat beyond their ends. 0 if
    they all lie on top of each other. Points at which the axis is undefined are left out.

    Raises
    ------
    ValueError
        If no curve has another that differs in `across` only.
    """
    along, other = curves.axis(axis), "reduction" if across == "variant" else "variant"
    places = ~np.isnan(along[0])
    squares = []
    for definition, of_it in curves.definitions():
        same = (curves.points[other] == getattr(definition, other)).to_numpy()
        known, asked = same & ~of_it & places, of_it & places
        if known.any() and asked.any():
            rows = zip(along, curves.accuracy, strict=True)
            squares.append(
                [np.square(_monotone(u, a, known, asked, AXES[axis]) - a[asked]) for u, a in rows]
            )
    if not squares:
        raise ValueError(f"no two curves differ in {across} only")
    return np.sqrt(np.concatenate(squares, axis=1).mean(axis=1))


def batch_factor(curves: AccuracyCurves, variant: str) -> Interval:
    """By what factor λ weighs more under ``batch`` than under ``example``, for one variant.

    That at which the two curves of accuracy against λ predict each other best, with λ multiplied by
    it under ``batch``; searched between 1 and 1000, in steps that the interval includes.
    """
    of_variant = (curves.points["variant"] == variant).to_numpy()
    summed = (curves.points["reduction"] == "batch").to_numpy()
    batch, example = of_variant & summed, of_variant & ~summed
    along = curves.axis("robust_reg")[0]
    shifts = _FACTORS[:, np.newaxis]
    best = []
    for accuracy in curves.accuracy:
        b, e = accuracy[batch], accuracy[example]
        errors = np.square(np.interp(along[batch] + shifts, along[example], e) - b).sum(1)
        errors += np.square(np.interp(along[example] - shifts, along[batch], b) - e).sum(1)
        best.append(_FACTORS[errors.argmin()])
    value, low, high = of_draws(np.array(best))
    ends = np.clip([low - _STEP / 2, high + _STEP / 2], _FACTORS[0], _FACTORS[-1])
    return Interval(10**value, *(10**ends).tolist())


def _monotone(
    along: np.ndarray, accuracy: np.ndarray, known: np.ndarray, asked: np.ndarray, rises: bool
) -> np.ndarray:
    """What the known points (P,) predict at those asked for."""
    places, inverse, count = np.unique(along[known], return_inverse=True, return_counts=True)
    means = np.bincount(inverse, accuracy[known]) / count
    fitted = isotonic_regression(means, weights=count, increasing=rises).x
    return np.interp(along[asked], places, fitted)


@dataclass(frozen=True, eq=False)
class MeasuredStudy:
    """The models of a study, and numbers of them.

    Attributes
    ----------
    cells : one row a cell, the first table of `run_study`, with the columns `references`.
    resamples : of the seeds, for the intervals of `curves`.
    """

    settings: Experiment
    cells: pd.DataFrame
    resamples: int

    @cached_property
    def curves(self) -> AccuracyCurves:
        """Accuracy against λ and other axes."""
        return AccuracyCurves(self.cells, self.settings.batch_size, self.resamples)

    @cached_property
    def references(self) -> dict[str, float]:
        """Those of `REFERENCES` that are defined; every row of the cells repeats them."""
        return {name: self.cells[name].iloc[0] for name in REFERENCES if name in self.cells}

    @property
    def lambdas(self) -> list[float]:
        """Ascending."""
        return sorted(self.cells["robust_reg"].unique().tolist())

    def definitions(self, variant: Variant | None = None) -> list[Definition]:
        """Those compared, in the order of the cells; of one variant only, if given."""
        compared = [definition for definition, _ in self.curves.definitions()]
        return [one for one in compared if variant in (None, one.variant)]

    def accuracy_at(self, definition: Definition, robust_reg: float) -> Interval:
        """Test accuracy, its interval over seeds and test examples."""
        return accuracy_interval(self._at(definition, robust_reg))

    def lost_by_seed(self, definition: Definition, robust_reg: float) -> pd.Series:
        """Accuracy lost from the smallest λ to another, seed by seed."""
        before, after = self._ends(definition, robust_reg)
        return before["accuracy"] - after["accuracy"]

    def lost_at(self, definition: Definition, robust_reg: float) -> Interval:
        """Accuracy lost from the smallest λ to another, as claims of it are judged."""
        return lost_interval(*self._ends(definition, robust_reg))

    @cached_property
    def comparisons(self) -> list[Across]:
        """What definitions differ in."""
        both: tuple[Across, ...] = ("reduction", "variant")
        return [across for across in both if self.cells[across].nunique() > 1]

    @cached_property
    def errors(self) -> dict[tuple[str, Across], np.ndarray]:
        """`prediction_errors` in points, for every axis and comparison."""
        return {
            (axis, across): 100 * prediction_errors(self.curves, axis, across)
            for axis in AXES
            for across in self.comparisons
        }

    def _at(self, definition: Definition, robust_reg: float) -> pd.DataFrame:
        """The cells of one point, by seed."""
        chosen = (self.cells[_POINT] == [*definition, robust_reg]).all(axis=1)
        return self.cells[chosen].set_index("seed").sort_index()

    def _ends(self, definition: Definition, robust_reg: float) -> tuple[pd.DataFrame, pd.DataFrame]:
        return self._at(definition, self.lambdas[0]), self._at(definition, robust_reg)


def rounding_spread(cells: pd.DataFrame) -> tuple[float, float]:
    """The standard deviations of accuracy that rounding and seeds cause; NaN with one seed.

    Two trainings that differ in rounding alone differ by √2 standard deviations, root mean square.

    Parameters
    ----------
    cells : those of one λ in the second table of `run_study`.
    """
    moved = cells["accuracy_jittered"] - cells["accuracy"]
    return math.sqrt(moved.pow(2).mean() / 2), float(cells["accuracy"].std())
