"""Predictions on tables whose answer is known."""

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
    assert outcomes(world, "constant") == ["supported"]
    assert outcomes(world, "more") == ["supported", "supported"]
    # Here the loss reached is the same at the same λ: one axis is as good as the other.
    assert outcomes(world, "trade-off") == ["undecided"]


def test_the_opposite_world():
    world = four(paper=0.2, review=0.03, factor=1.0)
    assert outcomes(world, "weight") == ["not supported", "not supported"]
    assert outcomes(world, "linear") == ["not supported", "not supported"]
    assert outcomes(world, "constant") == ["not supported"]
    assert outcomes(world, "more") == ["not supported", "not supported"]


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
