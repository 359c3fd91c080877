"""What the formulas predict of a study, and whether the numbers bear it out.

Every prediction has a rule by which it can fail. An interval that lies wholly where it was
predicted supports it, one that lies wholly elsewhere does not, and any other leaves it undecided.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd

from pipeline.metrics.intervals import Interval, accuracy_interval, seed_interval
from pipeline.params import Experiment
from pipeline.reporting import wording
from pipeline.reporting.style import lambda_label
from pipeline.study.axes import AXES, Across, batch_factor, prediction_errors
from pipeline.study.curves import Curves, estimate
from pipeline.study.definitions import Definition

Outcome = Literal["supported", "not supported", "undecided"]


@dataclass(frozen=True, eq=False)
class Study:
    """What a prediction is checked against.

    Attributes
    ----------
    cells : one row a cell, as `run_study` returns them.
    references : majority_accuracy and, for raw features, linear_accuracy and constant_from_….
    """

    settings: Experiment
    cells: pd.DataFrame
    references: Mapping[str, float]
    curves: Curves

    @property
    def lambdas(self) -> list[float]:
        """Ascending."""
        return sorted(self.cells["robust_reg"].unique().tolist())

    def at(self, definition: Definition, robust_reg: float) -> pd.DataFrame:
        """The cells of one point, by seed."""
        names = ["variant", "reduction", "robust_reg"]
        chosen = (self.cells[names] == [*definition, robust_reg]).all(axis=1)
        return self.cells[chosen].set_index("seed").sort_index()

    def accuracy_at(self, definition: Definition, robust_reg: float) -> Interval:
        """Test accuracy, its interval over seeds and test examples."""
        interval = accuracy_interval(self.at(definition, robust_reg))
        assert interval is not None, "a study has two seeds or more"
        return interval

    def lost_by_seed(self, definition: Definition, robust_reg: float) -> pd.Series:
        """Accuracy lost from the smallest λ, seed by seed, whose cells share all randomness."""
        before, after = (self.at(definition, v) for v in (self.lambdas[0], robust_reg))
        return before["accuracy"] - after["accuracy"]

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

    def has(self, definition: Definition) -> bool:
        """Whether `definition` is part of it."""
        return any(definition == own for own, _ in self.curves.definitions())


@dataclass(frozen=True)
class Prediction:
    """One prediction, what was measured, and what follows."""

    text: str
    measured: str
    outcome: Outcome


def predictions(study: Study) -> list[Prediction]:
    """All that can be said of this study, in the order of the report's hypotheses."""
    checks: list[Callable[[Study], list[Prediction]]] = [
        _weight_of_a_batch,
        _linear_is_free,
        _constant_in_the_end,
        _who_pays_more,
        _one_trade_off,
    ]
    return [prediction for check in checks for prediction in check(study)]


def _weight_of_a_batch(study: Study) -> list[Prediction]:
    """√B, as of a norm of B parts, and neither 1, as of their mean, nor B, as of their sum."""
    size = study.settings.batch_size
    expected = math.sqrt(size)
    found = []
    for variant in study.cells["variant"].unique():
        if not all(study.has(Definition(variant, r)) for r in ("batch", "example")):
            continue
        factor = batch_factor(study.curves, variant)
        if not factor.low <= expected <= factor.high:
            outcome: Outcome = "not supported"
        else:
            is_told_apart = factor.low > 1 and factor.high < size
            outcome = "supported" if is_told_apart else "undecided"
        found.append(
            Prediction(
                f"{variant}: λ weighs √{size} = {expected:.1f} times as much under batch as "
                "under example",
                f"{factor.value:.1f} times\n{factor.low:.1f} to {factor.high:.1f}",
                outcome,
            )
        )
    return found


def _linear_is_free(study: Study) -> list[Prediction]:
    if "linear_accuracy" not in study.references:
        return []
    linear, most = study.references["linear_accuracy"], study.lambdas[-1]
    found = []
    for reduction in study.cells["reduction"].unique():
        definition = Definition("paper2018", reduction)
        if study.has(definition):
            here = study.accuracy_at(definition, most)
            found.append(
                Prediction(
                    f"{definition}: λ = {lambda_label(most)} leaves at least the accuracy of a "
                    f"linear classifier, {wording.percent(linear)}",
                    _percent(here),
                    "supported" if here.high >= linear else "not supported",
                )
            )
    return found


def _constant_in_the_end(study: Study) -> list[Prediction]:
    found = []
    for reduction in study.cells["reduction"].unique():
        definition = Definition("review2020", reduction)
        bound = study.references.get(f"constant_from_{reduction}")
        beyond = [value for value in study.lambdas if bound is not None and value >= bound]
        if not beyond or bound is None or not study.has(definition):
            continue
        linear = study.references["linear_accuracy"]
        at = [study.accuracy_at(definition, value) for value in beyond]
        below = _outcome(max(here.low for here in at), max(here.high for here in at), linear)
        found.append(
            Prediction(
                f"{definition}: from λ = {bound:.2g} on a constant prediction is the optimum, "
                f"and accuracy below a linear classifier’s, {wording.percent(linear)}",
                f"{wording.listed([wording.percent(here.mean) for here in at])}\n"
                f"at λ = {wording.lambdas(beyond)}\n"
                + ", ".join(wording.bounds(here, 100, 1) for here in at),
                below,
            )
        )
    return found


def _who_pays_more(study: Study) -> list[Prediction]:
    most = study.lambdas[-1]
    found = []
    for reduction in study.cells["reduction"].unique():
        pair = Definition("review2020", reduction), Definition("paper2018", reduction)
        if all(study.has(definition) for definition in pair):
            review, paper = (study.lost_by_seed(definition, most) for definition in pair)
            more = seed_interval((review - paper).tolist())
            assert more is not None, "a study has two seeds or more"
            points = [f"{100 * value:+.1f}".replace("-", "−") for value in more]
            found.append(
                Prediction(
                    f"{reduction}: λ = {lambda_label(most)} costs more accuracy under review2020 "
                    "than under paper2018",
                    f"{points[0]} points\n{points[1]} to {points[2]}",
                    _outcome(-more.high, -more.low, 0),
                )
            )
    return found


def _one_trade_off(study: Study) -> list[Prediction]:
    if "variant" not in study.comparisons:
        return []
    loss = study.errors["test_robustness_loss", "variant"]
    weight = study.errors["robust_reg", "variant"]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = estimate(loss / weight)
    return [
        Prediction(
            "At equal test robustness loss the variants differ less in accuracy than at equal λ",
            f"{ratio.value:.2f} times as much\n{ratio.low:.2f} to {ratio.high:.2f}",
            _outcome(ratio.low, ratio.high, 1),
        )
    ]


def _outcome(low: float, high: float, bound: float) -> Outcome:
    """Whether an interval lies below `bound`, as predicted."""
    if high < bound:
        return "supported"
    return "not supported" if low > bound else "undecided"


def _percent(here: Interval) -> str:
    return f"{wording.percent(here.mean)}\n{wording.bounds(here, 100, 1)}"
