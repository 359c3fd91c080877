from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from pipeline.claims.evidence import Evidence
from pipeline.claims.published import CLAIMS
from pipeline.claims.verdicts import judge
from pipeline.metrics.intervals import Interval, share_interval


def cells(
    accuracies: dict[float, list[float]],
    width: float = 0.0,
    estimates: dict[float, list[float]] | None = None,
) -> pd.DataFrame:
    """A table of cells: λ → one accuracy per seed; `width` of their intervals over test sets.

    `estimates` of eq. 5 likewise; 1 for all if left out.
    """
    return pd.DataFrame(
        [
            {
                "robust_reg": robust_reg,
                "seed": seed,
                "accuracy": accuracy,
                "accuracy_low": accuracy - width / 2,
                "accuracy_high": accuracy + width / 2,
                "lipschitz_local": estimates[robust_reg][seed] if estimates else 1.0,
            }
            for robust_reg, values in accuracies.items()
            for seed, accuracy in enumerate(values)
        ]
    )


def measured(cells, dataset, linear=None, deviations=()):
    """What a verdict needs of `ExperimentResults`."""
    settings = SimpleNamespace(dataset=dataset)
    return SimpleNamespace(cells=cells, settings=settings, linear=linear, deviations=deviations)


def verdict(identity, tables, datasets=None, evidence=None, **more):
    datasets = datasets or {name: name.split("_")[0] for name in tables}
    run = {name: measured(table, datasets[name], **more) for name, table in tables.items()}
    (judged,) = (v for v in judge(run, evidence or {}, {}) if v.claim.id == identity)
    return judged


@pytest.mark.parametrize(
    ("accuracies", "short"),
    [
        ([0.807, 0.809, 0.811], "reproduced: review; excluded: paper"),
        # Mean 80.837, up to 80.865 %: includes what rounds to 80.9, not what rounds to 80.88.
        ([0.8083, 0.8083, 0.8085], "reproduced: review; excluded: review’s checkpoints and paper"),
        ([0.7990, 0.8000, 0.8010], "not reproduced: review, review’s checkpoints and paper"),
        ([0.8192, 0.8202, 0.8212], "reproduced: paper; excluded: review and review’s checkpoints"),
    ],
)
def test_accuracy(accuracies, short):
    judged = verdict("compas-accuracy", {"compas_senn": cells({1e-4: accuracies})})
    assert (judged.status, judged.short) == (short.partition(":")[0], short)
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
    assert judged.short == "reproduced: review; excluded: paper"


def test_pairs_are_found_by_seed_not_by_row():
    table = cells({1e-4: [0.70, 0.80, 0.90], 1.0: [0.55, 0.65, 0.75]})
    shuffled = table.sample(frac=1, random_state=3)
    assert verdict("compas-tradeoff", {"compas_senn": shuffled}).here == pytest.approx([0.15] * 3)


def test_an_interval_that_cannot_tell_says_so():
    # Lost: 3, 10 and 17 points; 10 ± 4.303 · 7 / √3 = -7.4 to 27.4.
    tables = {"compas_senn": cells({1e-4: [0.75, 0.80, 0.85], 1.0: [0.72, 0.70, 0.68]})}
    judged = verdict("compas-tradeoff", tables)
    assert judged.here == pytest.approx((0.1, -0.0739, 0.2739), abs=1e-4)
    assert (judged.status, judged.short) == ("undecided", "undecided: review or paper")
    assert judged.reason == (
        "agrees with the review (about 15 points) and the review’s checkpoints (15.0 points), "
        "does not exclude the paper (about 4 points)"
    )


def test_departures_stand_in_the_reason():
    tables, departs = {"compas_senn": cells({1e-4: [0.807, 0.809, 0.811]})}, ("lr 1 instead of 2",)
    judged = verdict("compas-accuracy", tables, deviations=departs)
    assert judged.status == "reproduced"
    assert judged.reason.endswith(
        "excludes the paper (82.02 %); not as published: lr 1 instead of 2"
    )


def test_a_linear_classifier_has_no_seeds():
    # 832 of 1072 right: Wilson's interval is 75.0 to 80.0 %.
    linear, seed = share_interval(832 / 1072, 1072), {"compas_senn": cells({1e-4: [0.8]})}
    judged = verdict("compas-linear", seed, linear=linear, deviations=("lr 1 instead of 2",))
    assert (judged.status, judged.here) == ("reproduced", linear)
    assert judged.reason == (
        "agrees with the paper (78.54 %); fitted without an intercept, as SENN has none"
    )
    missing = verdict("compas-linear", seed)
    assert (missing.status, missing.here) == ("not tested", None)
    assert missing.reason == "no linear classifier of raw features in this run"


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
    assert accuracy.reason == (
        "measured on mnist_5k, not mnist (the interval excludes the review (98.9 %), the review’s "
        "checkpoints (98.89 %), ETH (98.99 %) and the paper (98.7 to 99.1 %))"
    )
    assert collapse.reason == (
        "measured on mnist_5k, not mnist (the interval agrees with the review (40 %), excludes the "
        "paper (98.7 %), the review’s checkpoints (26.30 %), the review’s best validation "
        "(24.45 %) and ETH (10.30 %))"
    )
    assert accuracy.short == collapse.short == "not tested"


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


@pytest.mark.parametrize(
    ("accuracies", "status"),
    [
        ([0.83, 0.83, 0.83], "reproduced"),
        ([0.75, 0.75, 0.75], "not reproduced"),
        ([0.79, 0.79, 0.79], "undecided"),
    ],
)
def test_senn_is_ahead_of_a_linear_classifier_or_not(accuracies, status):
    linear = share_interval(0.785, 10_000)  # 0.78 to 0.79
    tables = {"compas_senn": cells({1e-4: accuracies}, width=0.02)}
    judged = verdict("logistic-compas", tables, linear=linear)
    assert (judged.status, judged.short) == (status, status)
    # Distances from the means to the ends add up in quadrature.
    assert judged.here.mean == pytest.approx(accuracies[0] - 0.785)
    below = np.hypot(0.01, linear.high - linear.mean)
    assert judged.here.mean - judged.here.low == pytest.approx(below)
    assert "78.5 %" in judged.reason
    assert verdict("logistic-compas", tables).status == "not tested"


@pytest.mark.parametrize(
    ("after", "estimates", "status"),
    [
        ([0.94, 0.95, 0.93], [0.1, 0.2, 0.1], "reproduced"),
        ([0.85, 0.86, 0.84], [0.1, 0.2, 0.1], "not reproduced"),  # 10 points lost
        ([0.94, 0.95, 0.93], [2.1, 2.2, 2.1], "not reproduced"),  # less stable
        ([0.94, 0.95, 0.93], [0.0, 2.0, 0.9], "undecided"),  # stabler for two of three seeds
        ([0.97, 0.84, 0.93], [0.1, 0.2, 0.1], "undecided"),  # 3 points lost, give or take many
    ],
)
def test_a_trade_off_is_about_accuracy_and_stability(after, estimates, status):
    before = [0.95, 0.96, 0.94]
    eq_5 = {0.0: [1.0, 1.1, 1.0], 1.0: estimates}
    tables = {"uci_breast_cancer": cells({0.0: before, 1.0: after}, estimates=eq_5)}
    datasets = {"uci_breast_cancer": "uci/breast_cancer"}
    judged = verdict("tradeoff-breast-cancer", tables, datasets)
    assert (judged.status, judged.short) == (status, status)
    assert judged.here.mean == pytest.approx(np.mean(before) - np.mean(after))
    fall = f"{np.mean(eq_5[0.0]) - np.mean(estimates):.3g}".replace("-", "−")
    assert f"from 1.03 to {np.mean(estimates):.3g}, by {fall} (" in judged.reason
    assert " -" not in judged.reason and "(-" not in judged.reason
    elsewhere = verdict("tradeoff-breast-cancer", tables, {"uci_breast_cancer": "uci/wine"})
    assert elsewhere.status == "not tested"
