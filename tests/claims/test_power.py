"""The rule of power-reuters, on tables whose outcome is known."""

import pandas as pd
import pytest

from pipeline.claims.power import power_evidence
from tests.claims.test_verdicts import cells, verdict


def table(sensitivity=0.05, tf_idf=0.04, uniform=0.03, half=0.001, seeds=3):
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
            "label": weights.upper(),
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
    evidence = power_evidence(table(**leads))
    assert evidence.outcome == outcome
    assert evidence.here.mean == min({"uniform": 0.03, **leads}.values())


def test_three_intervals_hold_together():
    # With 3 seeds the quantile grows from 4.30 (97.5 %) to 7.65 (99.17 %).
    evidence = power_evidence(table(half=0.01))
    assert evidence.here.high - evidence.here.mean == pytest.approx(0.01 * 7.6488 / 4.3027, 1e-3)
    assert "3.0 (1.2 to 4.8) over UNIFORM; of one-hot vectors -5.0" in evidence.remark


def test_what_decides_nothing():
    nothing = table()
    assert power_evidence(nothing[nothing["weights"] == "lrp_epsilon"]) is None
    evidence = power_evidence(table(seeds=1))
    assert evidence.outcome is None and evidence.remark.startswith("one seed")


def test_the_verdict():
    tables = {"reuters_senn": cells({1e-4: [0.9, 0.91]})}
    datasets = {"reuters_senn": "reuters_r8"}
    evidence = {"power-reuters": power_evidence(table())}
    judged = verdict("power-reuters", tables, datasets, evidence)
    assert judged.status == "reproduced"
    assert judged.reason.startswith("the number is the least lead of LRP-ε")
    assert judged.here.mean == 0.03
    judged = verdict("power-reuters", tables, datasets)
    assert (judged.status, judged.reason) == ("not tested", "not measured in this run")
    judged = verdict("power-newsgroups", tables, datasets)
    assert judged.reason == "no experiment newsgroups_senn in this run"
