"""The rule of concepts-attackable, on tables whose outcome is known."""

import pandas as pd
import pytest

from pipeline.claims.attack import attack_evidence
from pipeline.claims.evidence import Evidence
from pipeline.metrics.intervals import Interval
from tests.claims.test_verdicts import cells, verdict


def table(concepts=(2.0, 3.0), relevances=(0.2, 0.3), half=0.01, seeds=3, radii=(0.2, 0.3)):
    rows = []
    values = {"concepts_between": concepts, "relevances_within": relevances,
              "concepts_within": (9.0, 9.0)}  # fmt: skip
    for quantity, of_radii in values.items():
        for radius, value in zip(radii, of_radii, strict=True):
            rows.append(
                {
                    "measure": "attack",
                    "quantity": quantity,
                    "radius": radius,
                    "value": value,
                    "value_low": value - half,
                    "value_high": value + half,
                    "seeds": seeds,
                }
            )
    return pd.DataFrame(rows)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({}, "supported"),
        ({"concepts": (0.5, 3.0)}, "not supported"),  # at one radius
        ({"relevances": (0.2, 1.5)}, "not supported"),
        ({"concepts": (1.01, 3.0)}, "undecided"),
        ({"relevances": (0.2, 0.99)}, "undecided"),
        ({"concepts": (0.5, 3.0), "relevances": (0.2, 0.99)}, "not supported"),
    ],
)
def test_concepts_move_far_and_relevances_hardly_at_every_radius(changes, outcome):
    evidence = attack_evidence(table(**changes))
    assert evidence.outcome == outcome
    assert evidence.here.mean == changes.get("concepts", (2.0, 3.0))[0]
    assert "relevances 0.20" in evidence.remark


def test_four_intervals_hold_together():
    # With 3 seeds the quantile grows from 4.30 (97.5 %) to 8.86 (99.375 %).
    here = attack_evidence(table(half=0.1)).here
    assert here.high - here.mean == pytest.approx(0.1 * 8.8602 / 4.3027, rel=1e-4)


def test_what_decides_nothing():
    assert attack_evidence(table(radii=(0.05, 0.1))) is None
    for changes, words in (({"seeds": 1}, "one seed"), ({"concepts": (2.0, float("nan"))}, "unde")):
        evidence = attack_evidence(table(**changes))
        assert evidence.outcome is None and evidence.remark.startswith(words)


def test_verdicts():
    tables, found = {"mnist_senn": cells({1e-4: [0.9, 0.9]})}, attack_evidence(table())
    evidence = {"concepts-attackable": found}
    judged = verdict("concepts-attackable", tables, evidence=evidence)
    assert (judged.status, judged.short) == ("reproduced", "reproduced")
    assert judged.here == found.here
    # A subset of MNIST decides nothing.
    judged = verdict("concepts-attackable", tables, {"mnist_senn": "mnist_5k"}, evidence)
    assert judged.status == judged.short == "not tested"
    assert judged.reason.endswith("measured on mnist_5k, not mnist, where it is reproduced")
    assert verdict("concepts-attackable", tables).reason == "not measured in this run"
    nothing = {"concepts-attackable": Evidence(None, "", "one seed")}
    judged = verdict("concepts-attackable", tables, evidence=nothing)
    assert (judged.status, judged.reason) == ("not tested", "one seed")
    assert not isinstance(judged.here, Interval)
