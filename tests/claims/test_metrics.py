import json

import pandas as pd
import pytest

from pipeline.claims.published import CLAIMS
from pipeline.claims.verdicts import Verdict, as_metrics, as_table, from_table, judge, verdicts
from pipeline.core.files import write_csv, write_json
from pipeline.metrics.intervals import Interval
from tests.reporting.workspace import default_params

FIELDS = ("verdict", "mean", "low", "high", "published_low", "published_high", "reason")
KEYS = [f"{claim.id}.{field}" for claim in CLAIMS for field in FIELDS]


def only(name: str) -> dict:
    return {name: default_params()["experiments"][name]}


def of(metrics: dict, identity: str) -> tuple:
    return tuple(metrics[f"{identity}.{field}"] for field in FIELDS)


def test_keys_are_the_claims_whatever_was_run():
    assert list(as_metrics(as_table(judge({}, {}, {})))) == KEYS
    assert len(KEYS) == len(set(KEYS)) == 7 * 12


def test_fields_of_a_claim():
    compas = next(claim for claim in CLAIMS if claim.id == "compas-accuracy")
    here = Interval(0.8123456789123, 0.8, 0.82)
    found = as_metrics(as_table([Verdict(compas, "reproduced", here, "", "a remark")]))
    expected = ("reproduced", 0.81234568, 0.8, 0.82, 0.8085, 0.8095, None)
    assert of(found, "compas-accuracy") == expected
    found = as_metrics(as_table([Verdict(compas, "not tested", None, "no seeds")]))
    assert of(found, "compas-accuracy") == ("not tested", *[None] * 3, 0.8085, 0.8095, "no seeds")


@pytest.mark.parametrize(
    ("changes", "identity", "verdict", "reason"),
    [
        ({"seeds": [5]}, "compas-tradeoff", "not tested", "no λ = 0.0001 in this run"),
        ({"seeds": [5], "robust_reg": 1e-4}, "compas-accuracy", "not tested", "one seed gives no"),
        ({}, "compas-accuracy", "not tested", "no λ = 0.0001 in this run"),
        ({"robust_reg": 1e-4}, "compas-tradeoff-paper", "reproduced", None),
        ({"robust_reg": 1e-4}, "compas-tradeoff", "not reproduced", None),
        ({"robust_reg": 1e-4}, "mnist-accuracy", "not tested", "only on mnist_5k, a stand-in"),
        ({"experiments": only("mnist_senn")}, "compas-accuracy", "not tested", "no experiment"),
        ({"experiments": only("compas_senn")}, "disenn-diversity", "not tested", "no experiment"),
        ({}, "poor-explanations", "left to the reader", "the number is the share"),
        ({"seeds": [5]}, "poor-explanations", "left to the reader", "the number is the share"),
    ],
)
def test_whole_runs(run, tmp_path, changes, identity, verdict, reason):
    metrics = as_metrics(as_table(verdicts(run(**changes))))
    assert list(metrics) == KEYS
    found, mean, low, high, *_, why = of(metrics, identity)
    assert found == verdict
    assert (why or "").startswith(reason or "") and bool(why) == bool(reason)
    # A number with its interval around it, or neither.
    assert (mean is None) == (low is None) == (high is None)
    assert mean is None or low <= mean <= high
    # Every claim has a verdict that stands for itself, or a reason.
    for claim in CLAIMS:
        status, *_, why = of(metrics, claim.id)
        assert status in ("reproduced", "not reproduced") or why, claim.id
    write_json(tmp_path / "claims.json", metrics)
    assert json.loads((tmp_path / "claims.json").read_text("utf-8")) == metrics


def test_a_table_keeps_all_that_the_report_says(run, tmp_path):
    judged = verdicts(run(robust_reg=1e-4))
    assert {one.status for one in judged} == {
        "reproduced",
        "not reproduced",
        "not tested",
        "left to the reader",
    }
    write_csv(tmp_path / "claims.csv", as_table(judged))
    read = from_table(pd.read_csv(tmp_path / "claims.csv"))
    for before, after in zip(judged, read, strict=True):
        assert (before.claim, before.status) == (after.claim, after.status)
        assert (before.reason, before.remark) == (after.reason, after.remark)
        assert (before.here is None) == (after.here is None)
        assert before.here is None or after.here == pytest.approx(before.here, rel=1e-8)


def test_a_table_without_any_number(tmp_path):
    judged = judge({}, {}, {})
    write_csv(tmp_path / "claims.csv", as_table(judged))
    assert from_table(pd.read_csv(tmp_path / "claims.csv")) == judged
