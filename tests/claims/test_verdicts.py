import numpy as np
import pandas as pd
import pytest

from pipeline.claims.evidence import Evidence
from pipeline.claims.published import CLAIMS
from pipeline.claims.verdicts import judge
from pipeline.metrics.intervals import Interval


def cells(accuracies: dict[float, list[float]], width: float = 0.0) -> pd.DataFrame:
    """A table of cells: λ → one accuracy per seed; `width` of their intervals over test sets."""
    return pd.DataFrame(
        [
            {
                "robust_reg": robust_reg,
                "seed": seed,
                "accuracy": accuracy,
                "accuracy_low": accuracy - width / 2,
                "accuracy_high": accuracy + width / 2,
            }
            for robust_reg, values in accuracies.items()
            for seed, accuracy in enumerate(values)
        ]
    )


def verdict(identity, tables, datasets=None, evidence=None):
    datasets = datasets or {name: name.split("_")[0] for name in tables}
    (judged,) = (v for v in judge(tables, datasets, evidence or {}) if v.claim.id == identity)
    return judged


@pytest.mark.parametrize(
    ("accuracies", "status"),
    [
        ([0.807, 0.809, 0.811], "reproduced"),
        ([0.8084, 0.8084, 0.8086], "reproduced"),  # rounds to 80.9 %
        ([0.7990, 0.8000, 0.8010], "not reproduced"),
        ([0.8190, 0.8200, 0.8210], "not reproduced"),
    ],
)
def test_accuracy(accuracies, status):
    judged = verdict("compas-accuracy", {"compas_senn": cells({1e-4: accuracies})})
    assert (judged.status, judged.reason) == (status, "")
    assert judged.here.mean == pytest.approx(np.mean(accuracies))


def test_the_test_sets_size_counts():
    exact = {1e-4: [0.7990, 0.8000, 0.8010]}
    assert verdict("compas-accuracy", {"compas_senn": cells(exact)}).status == "not reproduced"
    assert verdict("compas-accuracy", {"compas_senn": cells(exact, 0.02)}).status == "reproduced"


def test_accuracy_lost_is_paired_by_seed():
    # Every seed loses 15 points, from very different starts: no doubt about the difference.
    tables = {"compas_senn": cells({1e-4: [0.70, 0.80, 0.90], 1.0: [0.55, 0.65, 0.75]})}
    judged = verdict("compas-tradeoff", tables)
    assert judged.here == pytest.approx((0.15, 0.15, 0.15))
    assert judged.status == "reproduced"
    assert verdict("compas-tradeoff-paper", tables).status == "not reproduced"


def test_pairs_are_found_by_seed_not_by_row():
    table = cells({1e-4: [0.70, 0.80, 0.90], 1.0: [0.55, 0.65, 0.75]})
    shuffled = table.sample(frac=1, random_state=3)
    assert verdict("compas-tradeoff", {"compas_senn": shuffled}).here == pytest.approx([0.15] * 3)


def test_an_interval_that_cannot_tell_says_so():
    tables = {"compas_senn": cells({1e-4: [0.75, 0.80, 0.85], 1.0: [0.72, 0.70, 0.68]})}
    review, paper = (verdict(f"compas-tradeoff{end}", tables) for end in ("", "-paper"))
    assert (review.status, paper.status) == ("reproduced", "reproduced")
    assert review.reason == "the interval is so wide that it includes about 4 points too"
    assert paper.reason == "the interval is so wide that it includes about 15 points too"


def test_every_accuracy_needs_all_lambdas():
    good = {value: [0.988, 0.989, 0.990] for value in (0.0, 1e-2, 1.0)}
    assert verdict("mnist-accuracy-paper", {"mnist_senn": cells(good)}).status == "reproduced"
    bad = good | {1e-2: [0.90, 0.91, 0.92], 2.0: [0.1, 0.1, 0.1]}
    judged = verdict("mnist-accuracy-paper", {"mnist_senn": cells(bad)})
    assert judged.status == "not reproduced"
    assert judged.here.mean == pytest.approx(0.91)  # not λ = 2, which the claim is not about
    assert judged.remark == "at λ = 0.01, where it is farthest from the claim"
    only = verdict("mnist-accuracy-paper", {"mnist_senn": cells({0.1: [0.98, 0.99]})})
    assert (only.status, only.reason) == (
        "not tested",
        "fewer than two λ between 0 and 1 in this run",
    )


def test_every_accuracy_is_refuted_by_any_lambda_and_confirmed_by_the_largest():
    good, bad = [0.988, 0.989, 0.990], [0.90, 0.91, 0.92]
    weak = verdict("mnist-accuracy-paper", {"mnist_senn": cells({1e-4: good, 1e-2: good})})
    assert (weak.status, weak.here) == ("not tested", None)
    assert weak.reason == "no λ = 1 in this run; it holds up to 0.01"
    refuted = verdict("mnist-accuracy-paper", {"mnist_senn": cells({1e-4: good, 1e-2: bad})})
    assert refuted.status == "not reproduced"


def test_intervals_of_shares_are_shares():
    judged = verdict("mnist-accuracy", {"mnist_senn": cells({1e-4: [0.97, 0.99, 1.0]})})
    assert judged.here.high == 1 and judged.here.low > 0
    lost = {1e-4: [1.0, 1.0, 0.0], 1.0: [0.0, 0.0, 1.0]}
    assert verdict("compas-tradeoff", {"compas_senn": cells(lost)}).here[1:] == (-1, 1)


def test_another_dataset_judges_nothing():
    tables = {"mnist_senn": cells({1e-4: [0.95, 0.96, 0.97], 1.0: [0.38, 0.40, 0.42]})}
    accuracy, collapse = (
        verdict(identity, tables, {"mnist_senn": "mnist_5k"})
        for identity in ("mnist-accuracy", "mnist-collapse")
    )
    assert accuracy.status == collapse.status == "not tested"
    assert accuracy.here.mean == pytest.approx(0.96)
    assert accuracy.reason == "measured on mnist_5k, not mnist (the interval excludes 98.9 %)"
    assert collapse.reason == "measured on mnist_5k, not mnist (the interval includes 40 %)"


@pytest.mark.parametrize(
    ("tables", "reason"),
    [
        ({}, "no experiment compas_senn in this run"),
        ({"compas_senn": cells({1e-3: [0.8, 0.8]})}, "no λ = 0.0001 in this run"),
        ({"compas_senn": cells({1e-4: [0.809]})}, "one seed gives no interval over seeds"),
    ],
)
def test_not_tested_says_why(tables, reason):
    judged = verdict("compas-accuracy", tables)
    assert (judged.status, judged.here, judged.reason) == ("not tested", None, reason)


def test_qualitative_claims_are_left_to_the_reader():
    tables = {"mnist_senn": cells({1e-4: [0.9, 0.9]})}
    number = Interval(0.3, 0.2, 0.4)
    evidence = {"stable-explanations": Evidence(number, "distance", "chance 0.5")}
    judged = verdict("stable-explanations", tables, evidence=evidence)
    assert (judged.status, judged.here) == ("left to the reader", number)
    assert (judged.reason, judged.remark) == ("the number is the distance", "chance 0.5")
    elsewhere = {"mnist_senn": "mnist_5k"}
    judged = verdict("stable-explanations", tables, elsewhere, evidence)
    assert judged.status == "left to the reader"
    assert judged.reason == "the number is the distance; measured on mnist_5k, not mnist"
    assert verdict("poor-explanations", tables, evidence=evidence).status == "not tested"
    assert verdict("disenn-diversity", tables).reason == "no experiment mnist_disenn in this run"


def test_every_claim_gets_a_verdict():
    judged = judge({}, {}, {})
    assert [v.claim for v in judged] == list(CLAIMS)
    assert {v.status for v in judged} == {"not tested"}
    assert all(v.reason for v in judged)
