"""The rules of concepts-attackable and power-reuters, on tables whose outcome is known."""

import pandas as pd
import pytest

from pipeline.claims.evidence import Evidence
from pipeline.claims.rules import attack_evidence, power_evidence
from pipeline.metrics.intervals import Interval
from tests.claims.test_verdicts import cells, verdict


def attack_table(concepts=(2.0, 3.0), relevances=(0.2, 0.3), half=0.01, seeds=3, radii=(0.2, 0.3)):
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
    evidence = attack_evidence(attack_table(**changes))
    assert evidence.outcome == outcome
    assert evidence.here.mean == changes.get("concepts", (2.0, 3.0))[0]
    assert "relevances 0.20" in evidence.remark


def test_four_intervals_hold_together():
    # With 3 seeds the quantile grows from 4.30 (97.5 %) to 8.86 (99.375 %).
    here = attack_evidence(attack_table(half=0.1)).here
    assert here.high - here.mean == pytest.approx(0.1 * 8.8602 / 4.3027, rel=1e-4)


def test_what_decides_nothing_of_attacks():
    assert attack_evidence(attack_table(radii=(0.05, 0.1))) is None
    for changes, words in (({"seeds": 1}, "one seed"), ({"concepts": (2.0, float("nan"))}, "unde")):
        evidence = attack_evidence(attack_table(**changes))
        assert evidence.outcome is None and evidence.remark.startswith(words)


def test_verdicts_on_attacks():
    tables, found = {"mnist_senn": cells({1e-4: [0.9, 0.9]})}, attack_evidence(attack_table())
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


def power_table(sensitivity=0.05, tf_idf=0.04, uniform=0.03, half=0.001, seeds=3):
    behind = {
        "lrp_epsilon": 0.0,
        "squared_sensitivity": sensitivity,
        "tf_idf": tf_idf,
        "uniform": uniform,
        "gradient_times_input": -0.9,  # which the claim is not about
    }
    rows = [
        {
            "vectors": vectors,
            "weights": weights,
            "label": weights.capitalize(),
            "behind": lead if vectors == "embedding" else -lead,
            "behind_low": lead - half,
            "behind_high": lead + half,
            "seeds": seeds,
        }
        for vectors in ("embedding", "one_hot")
        for weights, lead in behind.items()
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("leads", "outcome"),
    [
        ({}, "supported"),
        ({"uniform": -0.03}, "not supported"),
        ({"tf_idf": 0.0005}, "undecided"),
        ({"sensitivity": -0.0005, "tf_idf": -0.1}, "not supported"),
    ],
)
def test_all_three_leads_must_be_above_zero(leads, outcome):
    evidence = power_evidence(power_table(**leads))
    assert evidence.outcome == outcome
    assert evidence.here.mean == min({"uniform": 0.03, **leads}.values())


def test_three_intervals_hold_together():
    # With 3 seeds the quantile grows from 4.30 (97.5 %) to 7.65 (99.17 %).
    evidence = power_evidence(power_table(half=0.01))
    assert evidence.here.high - evidence.here.mean == pytest.approx(0.01 * 7.6488 / 4.3027, 1e-3)
    assert "3.0 (1.2 to 4.8) over uniform; of one-hot vectors −5.0" in evidence.remark


def test_what_decides_nothing_of_power():
    nothing = power_table()
    assert power_evidence(nothing[nothing["weights"] == "lrp_epsilon"]) is None
    evidence = power_evidence(power_table(seeds=1))
    assert evidence.outcome is None and evidence.remark.startswith("one seed")


def test_the_verdict_on_power():
    tables = {"reuters_senn": cells({1e-4: [0.9, 0.91]})}
    datasets = {"reuters_senn": "reuters_r8"}
    evidence = {"power-reuters": power_evidence(power_table())}
    judged = verdict("power-reuters", tables, datasets, evidence)
    assert judged.status == "reproduced"
    assert judged.reason.startswith("the number is the least lead of LRP-ε")
    assert "widened until they hold together (Bonferroni)" in judged.reason
    assert judged.here.mean == 0.03
    judged = verdict("power-reuters", tables, datasets)
    assert (judged.status, judged.reason) == ("not tested", "not measured in this run")
    judged = verdict("power-newsgroups", tables, datasets)
    assert judged.reason == "no experiment newsgroups_senn in this run"
