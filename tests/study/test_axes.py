import numpy as np
import pytest

from pipeline.study.definitions import Definition
from pipeline.study.measured import (
    AccuracyCurves,
    batch_factor,
    of_draws,
    prediction_errors,
)
from tests.study.tables import study_table

SIZE = 100


def falling(robust_reg: float) -> float:
    return 0.8 - 0.05 * np.log10(robust_reg / 1e-4)


def in_batches(factor: float):
    return lambda robust_reg: falling(robust_reg * factor)


def curves(paper=None, review=None, **options) -> AccuracyCurves:
    """Both variants with both reductions; `batch` and `example` of each as given, or `falling`."""
    pairs = {"paper2018": paper or (falling, falling), "review2020": review or (falling, falling)}
    table = {
        Definition(variant, reduction): curve
        for variant, pair in pairs.items()
        for reduction, curve in zip(("batch", "example"), pair, strict=True)
    }
    return AccuracyCurves(study_table(table, **options), SIZE, 200)


@pytest.mark.parametrize("factor", [1, 10, 31.6])
def test_factor_of_a_batch(factor):
    estimated = batch_factor(curves(paper=(in_batches(factor), falling)), "paper2018")
    assert estimated.mean == pytest.approx(factor, rel=0.07)
    assert estimated.low <= estimated.mean <= estimated.high


def test_curves_on_top_of_each_other_predict_each_other():
    same = curves()
    for across in ("variant", "reduction"):
        assert prediction_errors(same, "robust_reg", across)[0] == pytest.approx(0, abs=1e-12)


def test_reductions_coincide_per_example_and_not_per_batch():
    root = SIZE**0.5
    shifted = curves((in_batches(root), falling), (in_batches(root), falling))
    # A decade apart, at 0.05 a decade; flat beyond the ends of the other curve.
    assert prediction_errors(shifted, "robust_reg", "reduction")[0] == pytest.approx(0.05)
    inside = prediction_errors(shifted, "per_example", "reduction")[0]
    assert inside == pytest.approx(np.sqrt(2 * 0.05**2 / 10))  # one end of each curve's five


def test_variants_coincide_on_the_axis_that_their_accuracy_depends_on():
    def loss(definition, robust_reg):
        return (1 if definition.variant == "paper2018" else 100) / robust_reg

    by_loss = curves(
        paper=(in_batches(100), in_batches(100)), lambdas=(1e-4, 1e-3, 1e-2), loss=loss
    )
    assert prediction_errors(by_loss, "robust_reg", "variant")[0] == pytest.approx(0.1)
    # On the axis of the loss the two share one place: elsewhere the nearest end predicts.
    assert prediction_errors(by_loss, "robustness_loss", "variant")[0] == pytest.approx(
        np.sqrt((0.05**2 + 0.1**2) / 3)
    )


def test_seeds_make_errors_uncertain():
    noisy = curves(paper=(in_batches(10), falling), seeds=(-0.01, 0.01))
    error = of_draws(prediction_errors(noisy, "robust_reg", "reduction"))
    assert error.low <= error.mean <= error.high


def test_points_without_a_place_are_left_out():
    def loss(definition, robust_reg):
        return np.nan if robust_reg == 1.0 else 1 / robust_reg

    assert not np.isnan(prediction_errors(curves(loss=loss), "lipschitz_discrete", "variant")).any()


def test_one_curve_cannot_be_compared():
    alone = AccuracyCurves(study_table({Definition("paper2018", "batch"): falling}), SIZE, 5)
    with pytest.raises(ValueError, match="no two curves differ in variant only"):
        prediction_errors(alone, "robust_reg", "variant")
