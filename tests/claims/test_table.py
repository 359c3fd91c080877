import pandas as pd
import pytest

from pipeline.claims.published import CLAIMS
from pipeline.claims.verdicts import Verdict, as_table, from_table, judge, verdicts
from pipeline.core.files import write_csv
from pipeline.metrics.intervals import Interval
from tests.reporting.workspace import default_params


def only(name: str) -> dict:
    return {name: default_params()["experiments"][name]}


def test_columns_of_a_claim():
    compas = next(claim for claim in CLAIMS if claim.id == "compas-accuracy")
    here = Interval(0.8123456789123, 0.8, 0.82)
    (row,) = as_table([Verdict(compas, "reproduced", here, "", "a remark")]).to_dict("records")
    assert row == {
        "claim": "compas-accuracy",
        "verdict": "reproduced",
        **here._asdict(),
        "published": "review 80.9 %; review’s checkpoints 80.88 %; paper 82.02 %",
        "reason": "",
        "remark": "a remark",
    }


@pytest.mark.parametrize(
    ("changes", "identity", "verdict", "reason"),
    [
        ({"seeds": [5]}, "compas-tradeoff", "not tested", "no λ = 0.0001 in this run"),
        ({"seeds": [5], "robust_reg": 1e-4}, "compas-accuracy", "not tested", "one seed gives no"),
        ({}, "compas-accuracy", "not tested", "no λ = 0.0001 in this run"),
        ({"robust_reg": 1e-4}, "compas-tradeoff", "reproduced", "agrees with the paper (about 4"),
        ({}, "compas-linear", "not reproduced", "excludes the paper (78.54"),
        ({"robust_reg": 1e-4}, "mnist-accuracy", "not tested", "measured on mnist_5k, not mnist"),
        ({"experiments": only("mnist_senn")}, "compas-accuracy", "not tested", "no experiment"),
        ({"experiments": only("compas_senn")}, "disenn-diversity", "not tested", "no experiment"),
        ({}, "poor-explanations", "left to the reader", "the number is the share"),
        ({"seeds": [5]}, "poor-explanations", "left to the reader", "the number is the share"),
    ],
)
def test_whole_runs(run, changes, identity, verdict, reason):
    judged = {one.claim.id: one for one in verdicts(run(**changes))}
    assert list(judged) == [claim.id for claim in CLAIMS]
    assert judged[identity].status == verdict
    why = judged[identity].reason
    assert why.startswith(reason)
    for one in judged.values():
        assert one.reason, one
        assert one.here is None or one.here.low <= one.here.mean <= one.here.high


def test_a_table_keeps_all_that_the_report_says(run, tmp_path):
    judged = verdicts(run(robust_reg=1e-4))
    assert {one.status for one in judged} == {
        "reproduced",
        "undecided",
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
