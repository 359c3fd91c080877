"""What the report says of a study, on tables whose answer is known."""

import re

import pytest

from pipeline.reporting.display import Prose, Several
from pipeline.reporting.study import disagreement
from pipeline.reporting.study_words import conclusion, predicted
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
    world = MeasuredStudy(PARAMS.experiment("compas_senn"), table, 200)
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
            "paper2018, batch: λ = 1 leaves at least the accuracy of a linear classifier, 76.0 %",
            r"77\.0 %\n76\.\d to 77\.\d",
        ),
        (
            4,
            "review2020, batch: from λ = 0.05 on a constant prediction is the optimum, and "
            "accuracy below a linear classifier’s, 76.0 %",
            r"63\.9 % and 60\.0 %\nat λ = 0\.1 and 1\n63\.\d to 64\.\d, 59\.\d to 60\.\d",
        ),
        (
            5,
            "batch: λ = 1 costs more accuracy under review2020 than under paper2018",
            r"\+13\.2 points\n\+13\.2 to \+13\.2",
        ),
        (
            7,
            "At equal test robustness loss the variants differ less in accuracy than at equal λ",
            r"1\.00 times as much\n1\.00 to 1\.00",
        ),
    ],
)
def test_predictions_in_words(index, text, measured):
    world = four(paper=0.03, review=0.2)
    said, shown = predicted(world, predictions(world)[index])
    assert said == text
    assert re.fullmatch(measured, shown), shown
