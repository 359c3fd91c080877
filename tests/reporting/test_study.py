"""What the report says of a study, on tables whose answer is known."""

import re

import pytest

from pipeline.reporting.display import Prose
from pipeline.reporting.study import _definitions, conclusion, disagreement, findings, predicted
from pipeline.study.definitions import Definition
from pipeline.study.measured import MeasuredStudy
from pipeline.study.predictions import predictions
from pipeline.study.published import PublishedLoss, nearness
from tests.study.tables import study_table
from tests.study.worlds import PARAMS, falling, four, study

PUBLISHED = PublishedLoss("review", (1.0,), (0.15,), (0.15,))


def test_nearest_and_alike():
    world = study(
        {
            Definition("paper2018", "batch"): falling(0.04),
            Definition("review2020", "batch"): falling(0.151),
        }
    )
    ranked = nearness(world, PUBLISHED)
    assert [one.definition.variant for one in ranked] == ["review2020", "paper2018"]
    assert [one.nearest for one in ranked] == [1.0, 0.0]
    assert conclusion(PUBLISHED, ranked) == (
        "**`review2020, batch` comes closest to the review’s curve**: it is 0.1 points (0.1 to "
        "0.1) away, the nearest in all draws. Next is `paper2018, batch`, 11.0 points "
        "(11.0 to 11.0) away. The loss of 15.0 points that was published by the review at λ = "
        "1 lies within the interval of `review2020, batch` (15.1 points, 14.8 to 15.4)."
    )


def test_nearest_but_not_alike():
    said = conclusion(
        PUBLISHED, nearness(study({Definition("paper2018", "batch"): falling(0.04)}), PUBLISHED)
    )
    assert said.endswith(
        "**But no definition reproduces it**: the review lost 15.0 points at λ = 1, "
        "`paper2018, batch` 4.0 points, 3.7 to 4.3."
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
    world = MeasuredStudy(PARAMS.experiment("compas_senn"), table, 200)
    said = conclusion(PUBLISHED, nearness(world, PUBLISHED))
    assert "the seeds cannot tell them apart" in said


def test_section_says_what_it_found(run, monkeypatch):
    monkeypatch.setattr("pipeline.reporting.study.RESAMPLES", 20)
    results = run()
    texts = [part.markdown for part in findings(results) if isinstance(part, Prose)]
    assert "### SENN on compas (`compas_senn`)" in texts
    assert any("24 models: 6 definitions, λ = 0.0001 and 1, 2 seeds, " in text for text in texts)
    compas, mnist = (text for text in texts if "A fair axis for λ" in text)
    assert "closest to the review’s curve" in compas and "closest to the paper’s curve" in compas
    assert "Batches have" not in compas
    assert "λ = 1 here corresponds to λ = 0.5 there" in mnist
    assert "Learned concepts" in mnist


def test_every_definition_says_which_published_accuracy_it_gets():
    """At λ = 1, on full MNIST: 98.7, 40, 26.3, 24.5 and 10.3 % were published."""
    full = PARAMS.experiment("mnist_senn").model_copy(update={"dataset": "mnist"})
    curves = {Definition("paper2018", "batch"): 0.7, Definition("review2020", "batch"): 0.104}
    table = study_table({one: lambda v, at=at: at + 0.2 * (v < 1) for one, at in curves.items()})
    for settings, columns in ((full, 3), (PARAMS.experiment("mnist_senn"), 2)):
        shown = _definitions("mnist_senn", MeasuredStudy(settings, table, 20), [])
        assert len(shown.header) == columns
    rows = _definitions("mnist_senn", MeasuredStudy(full, table, 20), []).rows
    assert rows[0][2].endswith(
        "excludes the paper (98.7 %), the review (40 %), the review’s checkpoints (26.30 %), the "
        "review’s best validation (24.45 %) and ETH (10.30 %)"
    )
    assert rows[1][2].startswith("10.4 %\n10.1 to 10.7\nagrees with ETH (10.30 %), excludes")


def test_a_run_without_a_study(run):
    results = run(study={})
    for section in (findings(results), disagreement(results)):
        assert [part.markdown for part in section] == ["This run has no study."]


@pytest.mark.parametrize(
    ("index", "text", "measured"),
    [
        (
            0,
            "paper2018: λ weighs √200 = 14.1 times as much under batch as under example",
            r"14\.1 times\n[\d.]+ to [\d.]+",
        ),
        (
            2,
            "paper2018, batch: λ = 1 keeps at least the accuracy of a linear classifier, 76.0 %",
            r"77\.0 %\n76\.\d to 77\.\d",
        ),
        (
            4,
            "review2020, batch: from λ = 0.05 on, a constant prediction is the optimum, and "
            "accuracy is a constant classifier’s, 60.0 %",
            r"63\.9 % and 60\.0 %\nat λ = 0\.1 and 1\n63\.\d to 64\.\d, 59\.\d to 60\.\d",
        ),
        (
            5,
            "batch: λ = 1 costs more accuracy under review2020 than under paper2018",
            r"\+13\.2 points\n\+13\.2 to \+13\.2",
        ),
        (
            7,
            "At equal test robustness loss, variants differ less in accuracy than at equal λ",
            r"1\.00 times as much\n1\.00 to 1\.00",
        ),
    ],
)
def test_predictions_in_words(index, text, measured):
    world = four(paper=0.03, review=0.2)
    said, shown = predicted(world, predictions(world)[index])
    assert said == text
    assert re.fullmatch(measured, shown), shown
