"""Verdicts on made-up tables whose answers are known."""

import math

import pandas as pd
import pytest

from pipeline.claims.published import CLAIMS
from pipeline.claims.rivals import CONTESTS, SETTINGS, Contest, judge_contest
from pipeline.claims.verdicts import as_table, from_table, judge
from pipeline.claims.wording import listed
from pipeline.metrics.intervals import Interval, widened
from pipeline.rivals.methods import CONTRIBUTION, RIVALS, SENN
from tests.claims.test_verdicts import measured

PAPER, SEARCH, SCALE, ALIKE = SETTINGS["local"]
CONTEST_ID = "stability-compas"
CONTEST = Contest("local", ("one", "two"), ("lime", "kernel_shap", "sensitivity"))


def table(behind, of_contributions=None, half=0.01, seeds=5):
    """Rows of `CONTEST`: how far each rival is behind, by setting and scale; ± `half`."""
    rows = []
    for setting, scale in {(one.setting, one.scale) for one in SETTINGS["local"]}:
        for name in CONTEST.rivals:
            row = {"measure": "local", "setting": setting, "scale": scale, "method": name}
            row |= {"says": RIVALS[name].says, "seeds": seeds}
            theta, worth = behind(setting, scale), (of_contributions or behind)(setting, scale)
            for own, middle in ((SENN, theta), (CONTRIBUTION, worth)):
                row |= Interval(middle, middle - half, middle + half).columns(f"behind_{own}")
            rows.append(row)
    return pd.DataFrame(rows)


def outcomes(one, two):
    bout = judge_contest(CONTEST, {"one": one, "two": two})
    return [bout.outcome(setting) for setting in SETTINGS["local"]], bout


def test_holds_everywhere():
    ahead = table(lambda setting, scale: 0.5)
    found, bout = outcomes(ahead, ahead)
    assert found == ["reproduced"] * 4
    assert len(bout.judged) == 2 * 3 * 4
    assert bout.seeds == 5


def test_true_in_the_papers_setting_alone():
    unfair = table(lambda setting, scale: 0.5 if setting == "paper" else -0.5)
    found, _ = outcomes(unfair, unfair)
    assert found == ["reproduced", *["not reproduced"] * 3]


def test_scale_matters():
    scaled = table(lambda setting, scale: -0.5 if scale == "relative" else 0.5)
    assert outcomes(scaled, scaled)[0] == [*["reproduced"] * 2, *["not reproduced"] * 2]


def test_contributions_are_what_worths_are_compared_with_and_slopes_are_not():
    one = table(lambda setting, scale: 0.5, lambda setting, scale: -0.5)
    found, bout = outcomes(one, one)
    assert found == [*["reproduced"] * 3, "not reproduced"]
    alike = {j.rival: j.outcome for j in bout.judged if j.setting == ALIKE}
    assert alike == {
        "lime": "not supported",
        "kernel_shap": "not supported",
        "sensitivity": "supported",
    }


def test_one_table_decides_for_all():
    ahead, behind = table(lambda *_: 0.5), table(lambda *_: -0.5)
    found, bout = outcomes(ahead, behind)
    assert found == ["not reproduced"] * 4
    assert bout.outcome(PAPER, "one") == "reproduced"
    assert bout.outcome(PAPER, "two") == "not reproduced"
    close = table(lambda *_: 0.005)
    assert outcomes(ahead, close)[0] == ["undecided"] * 4


def test_intervals_allow_for_all_comparisons():
    narrow, wide = 0.05, 24
    here = Interval(narrow, 0.02, 0.08)
    expected = widened({"seeds": 5, **here.columns("behind")}, "behind", wide)
    assert expected.low < 0 < here.low
    found, bout = outcomes(*2 * [table(lambda *_: narrow, half=0.03)])
    assert found == ["undecided"] * 4
    assert bout.judged[0].behind == pytest.approx(expected)


def test_without_a_table_there_is_no_bout():
    assert judge_contest(CONTEST, {"one": table(lambda *_: 0.5)}) is None


def test_every_contest_is_a_claim_of_known_methods():
    claims = {claim.id: claim for claim in CLAIMS if claim.kind == "contest"}
    assert set(claims) == set(CONTESTS)
    for contest in CONTESTS.values():
        assert set(contest.rivals) <= set(RIVALS)
        assert set(contest.published) <= {*contest.rivals, SENN}
        assert all(value > 0 for value in contest.published.values())


def verdict(dataset="compas", seeds=5):
    contest = CONTESTS[CONTEST_ID]
    rows = table(lambda setting, scale: 0.5 if setting == "paper" else -0.5, seeds=seeds)
    rows["measure"] = "discrete"
    bout = judge_contest(contest, {"compas_senn": rows})
    nothing = pd.DataFrame({"robust_reg": [0.5], "seed": [1]})
    judged = judge({"compas_senn": measured(nothing, dataset)}, {}, {CONTEST_ID: bout})
    return next(one for one in judged if one.claim.id == CONTEST_ID)


def test_the_verdict_says_both():
    one = verdict()
    assert one.status == "reproduced"
    assert one.remark == (
        "same search: not reproduced; same scale: not reproduced; like with like: not reproduced"
    )
    assert one.short == f"reproduced; {one.remark}"
    assert one.reason.startswith("8 comparisons together")


def test_the_verdict_survives_its_file(tmp_path):
    one = verdict()
    as_table([one]).to_csv(tmp_path / "claims.csv", index=False)
    (read,) = from_table(pd.read_csv(tmp_path / "claims.csv"))
    assert read == one
    assert read.here is None and math.isnan(as_table([one])["mean"].iloc[0])


@pytest.mark.parametrize(("dataset", "seeds"), [("corners", 5), ("compas", 1)])
def test_other_data_and_one_seed_decide_nothing(dataset, seeds):
    one = verdict(dataset, seeds)
    assert one.status == "not tested"
    assert one.remark.startswith("paper’s setting: reproduced; same search: not reproduced")


def test_other_data_are_named_in_the_order_of_the_contest():
    contest = CONTESTS["stability-uci"]
    datasets = {name: f"other/{name}" for name in contest.experiments}
    bout = judge_contest(contest, {name: table(lambda *_: 0.5) for name in datasets})
    nothing = pd.DataFrame({"robust_reg": [0.5], "seed": [1]})
    run = {name: measured(nothing, dataset) for name, dataset in datasets.items()}
    (one,) = (v for v in judge(run, {}, {"stability-uci": bout}) if v.claim.id == "stability-uci")
    assert one.reason.startswith(f"measured on {listed([*datasets.values()])}, not uci; ")
