"""A study as it was measured: what predictions and published curves are compared with."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from pipeline.metrics.seed_intervals import (
    Interval,
    accuracy_interval,
    lost_by_seed,
    lost_interval,
)
from pipeline.params import Experiment
from pipeline.study.curves import AXES, AccuracyCurves, Across, prediction_errors
from pipeline.study.definitions import Definition
from pipeline.training.robustness import Variant


@dataclass(frozen=True, eq=False)
class MeasuredStudy:
    """The models of a study, and numbers of them.

    Attributes
    ----------
    cells : one row a cell, as `run_study` returns them.
    references : majority_accuracy and, for raw features, linear_accuracy and constant_from_….
    resamples : of the seeds, for the intervals of `curves`.
    """

    settings: Experiment
    cells: pd.DataFrame
    references: Mapping[str, float]
    resamples: int

    @cached_property
    def curves(self) -> AccuracyCurves:
        """Accuracy against λ and other axes."""
        return AccuracyCurves(self.cells, self.settings.batch_size, self.resamples)

    @property
    def lambdas(self) -> list[float]:
        """Ascending."""
        return sorted(self.cells["robust_reg"].unique().tolist())

    def definitions(self, variant: Variant | None = None) -> list[Definition]:
        """Those compared, in the order of the cells; of one variant only, if given."""
        compared = [definition for definition, _ in self.curves.definitions()]
        return [one for one in compared if variant in (None, one.variant)]

    def has(self, definition: Definition) -> bool:
        """Whether `definition` is part of it."""
        return definition in self.definitions()

    def accuracy_at(self, definition: Definition, robust_reg: float) -> Interval:
        """Test accuracy, its interval over seeds and test examples."""
        return _known(accuracy_interval(self._at(definition, robust_reg)))

    def lost_by_seed(self, definition: Definition, robust_reg: float) -> pd.Series:
        """Accuracy lost from the smallest λ to another, seed by seed."""
        return lost_by_seed(*self._ends(definition, robust_reg))

    def lost_at(self, definition: Definition, robust_reg: float) -> Interval:
        """Accuracy lost from the smallest λ to another, as claims of it are judged."""
        return _known(lost_interval(*self._ends(definition, robust_reg)))

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
        names = ["variant", "reduction", "robust_reg"]
        return self.cells[(self.cells[names] == [*definition, robust_reg]).all(axis=1)].sort_values(
            "seed"
        )

    def _ends(self, definition: Definition, robust_reg: float) -> tuple[pd.DataFrame, pd.DataFrame]:
        return self._at(definition, self.lambdas[0]), self._at(definition, robust_reg)


def _known(interval: Interval | None) -> Interval:
    assert interval is not None, "a study has two seeds or more"
    return interval
