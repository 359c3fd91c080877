"""What the report says of a study, on tables whose answer is known."""

import numpy as np
import pytest

from pipeline.params import load_params
from pipeline.reporting.claims import PAPER, PUBLISHED_CURVES
from pipeline.reporting.display import Prose, Several
from pipeline.reporting.study import disagreement
from pipeline.reporting.study_predictions import Study, predictions
from pipeline.reporting.study_published import (
    PublishedLoss,
    conclusion,
    lost_at,
    nearness,
    published_losses,
)
from pipeline.study.curves import Curves
from pipeline.study.definitions import Definition
from tests.conftest import REPOSITORY
from tests.study.tables import LAMBDAS, study_table

PARAMS = load_params(REPOSITORY / "params.yaml")
REFERENCES = {"majority_accuracy": 0.59, "linear_accuracy": 0.76, "constant_from_batch": 0.05}
SEEDS = (-0.002, 0.0, 0.002)
SAID = {
    "weight": "times as much under batch as under example",
    "linear": "leaves at least the accuracy of a linear classifier",
    "constant": "a constant prediction is the optimum",
    "more": "costs more accuracy under review2020 than under paper2018",
    "trade-off": "At equal test robustness loss",
}


def falling(lost: float, factor: float = 1.0, to: float = 1.0):
    """Accuracy .8 until λ · factor = 1e-4, then less by `lost` up to λ · factor = `to`."""

    def curve(robust_reg: float) -> float:
        along = np.log10(robust_reg * factor / 1e-4) / np.log10(to / 1e-4)
        return float(0.8 - lost * np.clip(along, 0, 1))

    return curve


def study(curves: dict, name: str = "compas_senn", references=REFERENCES, **options) -> Study:
    experiment = PARAMS.experiment(name)
    table = study_table(curves, seeds=SEEDS, **options)
    return Study(experiment, table, references, Curves(table, experiment.batch_size, 100))


def four(paper: float, review: float, factor: float = 200**0.5, **options) -> Study:
    """Both variants with both reductions, λ weighing `factor` times as much under batch."""
    lost = {"paper2018": paper, "review2020": review}
    curves = {}
    for variant, points in lost.items():
        curves[Definition(variant, "batch")] = falling(points, factor, to=200**0.5)
        curves[Definition(variant, "example")] = falling(points, to=200**0.5)
    return study(curves, **options)


def outcomes(of: Study, key: str) -> list[str]:
    return [p.outcome for p in predictions(of) if SAID[key] in p.text]


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


def test_published_losses_of_compas():
    review, paper = published_losses("compas_senn", LAMBDAS)
    assert (review.source, review.lambdas) == ("review", LAMBDAS[1:])
    # The review's validation accuracies at λ = 1e-4 and 1, means of its three seeds.
    before, after = (0.8 + 0.81 + 0.775) / 3, (0.6625 + 0.615 + 0.6375) / 3
    assert review.high[-1] == review.low[-1] == pytest.approx(before - after)
    assert (paper.source, paper.lambdas) == ("paper", (1.0,))
    assert paper.low == paper.high == (pytest.approx(0.04),)


def test_published_range_allows_its_width():
    _, paper = published_losses("mnist_senn", (1e-4, 1e-2, 1.0))
    assert paper.lambdas == (1e-2, 1.0)
    assert paper.low == pytest.approx((-0.004, -0.004))
    assert paper.high == pytest.approx((0.004, 0.004))


def test_a_grid_without_the_published_start_cannot_be_compared():
    assert any(curve.label == PAPER for curve in PUBLISHED_CURVES)
    assert published_losses("compas_senn", (5e-4, 1.0)) == []
    assert published_losses("my_own", LAMBDAS) == []


PUBLISHED = PublishedLoss("review", (1.0,), (0.15,), (0.15,))


def test_distance_is_a_root_mean_square_in_points():
    world = study({Definition("paper2018", "batch"): falling(0.1)})
    published = PublishedLoss("paper", (1e-2, 1.0), (0.02, -0.01), (0.02, 0.03))
    (only,) = nearness(world, published)
    # Lost 5 and 10 points: 3 and 7 too many.
    assert only.distance.value == pytest.approx(np.sqrt((3**2 + 7**2) / 2))
    assert not only.inside


def test_loss_is_that_of_verdicts():
    here = lost_at(study({Definition("paper2018", "batch"): falling(0.1)}), *(
        Definition("paper2018", "batch"), 1.0))  # fmt: skip
    # All seeds lose the same: what remains is two test sets' ± 0.2 points, 95 % intervals.
    assert here == pytest.approx((0.1, 0.1 - 0.002 * 2**0.5, 0.1 + 0.002 * 2**0.5))


def test_nearest_and_alike():
    world = study(
        {
            Definition("paper2018", "batch"): falling(0.04),
            Definition("review2020", "batch"): falling(0.151),
        }
    )
    found = nearness(world, PUBLISHED)
    assert [one.definition.variant for one in found] == ["review2020", "paper2018"]
    assert [one.nearest for one in found] == [1.0, 0.0]
    assert conclusion(PUBLISHED, found) == (
        "**Nearest to the review’s curve: `review2020, batch`**, 0.1 points (0.1 to 0.1) away, in "
        "100.0 % of the draws. Next is `paper2018, batch`, 11.0 points (11.0 to 11.0). The 15.0 "
        "points lost there at λ = 1 lie within the interval of `review2020, batch` 15.1 points "
        "(14.8 to 15.4)."
    )


def test_nearest_but_not_alike():
    said = conclusion(
        PUBLISHED, nearness(study({Definition("paper2018", "batch"): falling(0.04)}), PUBLISHED)
    )
    assert said.endswith(
        "**But none is like it**: λ = 1 cost 15.0 points there, under `paper2018, batch` 4.0 "
        "points (3.7 to 4.3)."
    )


def test_not_told_apart():
    """Two curves whose seeds' luck is opposite: either may be the nearer."""
    table = study_table(
        {
            Definition("paper2018", "batch"): falling(0.15),
            Definition("review2020", "batch"): falling(0.15),
        }
    )
    ends = table["robust_reg"] == 1.0
    sign = table["variant"].map({"paper2018": 1, "review2020": -1})
    table["accuracy"] += ends * sign * (table["seed"] - 0.8) * 0.02
    experiment = PARAMS.experiment("compas_senn")
    world = Study(experiment, table, {}, Curves(table, experiment.batch_size, 200))
    said = conclusion(PUBLISHED, nearness(world, PUBLISHED))
    assert "which the seeds cannot tell apart" in said


def test_section_says_what_it_found(run, monkeypatch):
    monkeypatch.setattr("pipeline.reporting.study.RESAMPLES", 20)
    parts = disagreement(run()).parts
    texts = [part.markdown for part in parts if isinstance(part, Prose)]
    assert "### SENN on compas (`compas_senn`)" in texts
    assert any(t.startswith("24 models: 6 definitions of the loss") for t in texts)
    compas, mnist = (text for text in texts if "A fair axis for λ" in text)
    assert "Nearest to the review’s curve" in compas and "Nearest to the paper’s curve" in compas
    assert "Batches here" not in compas
    assert "λ = 1 here is worth what λ = 0.5 was there" in mnist
    assert "Learned concepts" in mnist


def test_a_run_without_a_study(run):
    section = disagreement(run(study={}))
    assert isinstance(section, Several)
    assert [part.markdown for part in section.parts] == ["This run has no study."]
