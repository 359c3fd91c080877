"""Predictions on tables whose answer is known."""

import numpy as np
import pytest

from pipeline.study.definitions import Definition
from pipeline.study.measured import MeasuredStudy
from pipeline.study.predictions import predictions
from tests.study.worlds import falling, four, study

KINDS = {
    "weight": "a batch weighs √B",
    "linear": "linear is free",
    "constant": "constant in the end",
    "more": "review costs more",
    "trade-off": "one trade-off",
}


def outcomes(of: MeasuredStudy, key: str) -> list[str]:
    return [p.outcome for p in predictions(of) if p.kind == KINDS[key]]


def test_a_world_as_predicted():
    world = four(paper=0.03, review=0.2)
    assert outcomes(world, "weight") == ["supported", "supported"]
    assert outcomes(world, "linear") == ["supported", "supported"]
    # At λ = 0.1 it has 63.9 %, more than a constant's 60.
    assert outcomes(world, "constant") == ["not supported"]
    assert outcomes(world, "more") == ["supported", "supported"]
    # Here the loss reached is the same at the same λ: one axis is as good as the other.
    assert outcomes(world, "trade-off") == ["undecided"]


def test_the_opposite_world():
    world = four(paper=0.2, review=0.03, factor=1.0)
    assert outcomes(world, "weight") == ["not supported", "not supported"]
    assert outcomes(world, "linear") == ["not supported", "not supported"]
    assert outcomes(world, "constant") == ["not supported"]
    assert outcomes(world, "more") == ["not supported", "not supported"]


@pytest.mark.parametrize(
    ("accuracy", "half_width", "outcome"),
    [
        (0.60, 0.01, "supported"),  # a constant's 60 % inside, a linear classifier's 76 % not
        (0.65, 0.01, "not supported"),  # below linear, but no constant
        (0.68, 0.10, "undecided"),  # both inside
        (0.76, 0.01, "not supported"),
    ],
)
def test_constant_means_the_constants_accuracy(accuracy, half_width, outcome):
    flat = {Definition("review2020", "batch"): lambda robust_reg: accuracy}
    (predicted,) = predictions(study(flat, half_width=half_width))
    assert (predicted.kind, predicted.expected) == (KINDS["constant"], 0.6)
    assert predicted.lambdas == (0.1, 1.0)
    assert predicted.outcome == outcome


@pytest.mark.parametrize(("half_width", "outcome"), [(0.005, "supported"), (0.02, "undecided")])
def test_linear_is_free_only_if_the_whole_interval_says_so(half_width, outcome):
    flat = {Definition("paper2018", "batch"): lambda robust_reg: 0.77}  # linear: 76 %
    assert outcomes(study(flat, half_width=half_width), "linear") == [outcome]


def test_a_factor_of_any_size_is_not_determinable():
    """As many points lost as seeds are apart, in opposite ways: every shift fits some draw."""
    world = four(paper=0.01, review=0.2)
    table = world.cells
    paper = (table["variant"] == "paper2018") & (table["reduction"] == "batch")
    table.loc[paper, "accuracy"] += 0.01 * (table["seed"] - 1) * (np.log10(table["robust_reg"]) + 2)
    of_paper, of_review = (p for p in predictions(world) if p.kind == KINDS["weight"])
    (factor,) = of_paper.measured
    assert factor.high / factor.low > 200**0.5
    assert (of_paper.outcome, of_review.outcome) == ("not determinable", "supported")


def test_equal_costs_decide_nothing():
    jitter = four(paper=0.1, review=0.1)
    assert outcomes(jitter, "more") == ["undecided", "undecided"]


@pytest.mark.parametrize(("power", "expected"), [(2.0, "supported"), (0.0, "not supported")])
def test_one_trade_off_or_not(power, expected):
    """Losses that follow the accuracy whatever the variant, or that are their own at every λ."""
    curves = {
        Definition("paper2018", "batch"): falling(0.05),
        Definition("review2020", "batch"): falling(0.1),
    }

    def loss(definition, robust_reg):
        if power:
            return 10 ** (50 * (curves[definition](robust_reg) - 0.8))
        return robust_reg if definition.variant == "paper2018" else 1 / robust_reg

    assert outcomes(study(curves, loss=loss), "trade-off") == [expected]


def test_images_have_no_linear_reference():
    world = four(0.03, 0.2, name="mnist_senn", references={"majority_accuracy": 0.1})
    assert outcomes(world, "linear") == outcomes(world, "constant") == []
