import pytest

from pipeline.claims.published import (
    CLAIMS,
    PROTOCOLS,
    Number,
    answers,
    deviations,
    published_at,
)
from pipeline.core.params import load_params
from pipeline.study.published import PUBLISHED_CURVES, PUBLISHED_RANGES
from tests.conftest import REPOSITORY

PAPER = load_params(REPOSITORY / "presets/paper.yaml")
DEFAULT = load_params(REPOSITORY / "params.yaml")
PUBLISHED = {  # id: λ, and all published numbers
    "compas-accuracy": (
        (1e-4,),
        {"review": "80.9 %", "review’s checkpoints": "80.88 %", "paper": "82.02 %"},
    ),
    "compas-tradeoff": (
        (1e-4, 1.0),
        {
            "review": "about 15 points",
            "review’s checkpoints": "15.0 points",
            "paper": "about 4 points",
        },
    ),
    "compas-linear": ((), {"paper": "78.54 %"}),
    "logistic-compas": ((1e-4,), {}),
    "tradeoff-compas": ((1e-4, 1.0), {}),
    "tradeoff-breast-cancer": ((0.0, 1.0), {}),
    "mnist-unregularised": ((0.0,), {"paper": "99.11 %"}),
    "mnist-accuracy": (
        (1e-4,),
        {
            "review": "98.9 %",
            "review’s checkpoints": "98.89 %",
            "ETH": "98.99 %",
            "paper": "98.7 to 99.1 %",
        },
    ),
    "mnist-accuracy-1e-3": (
        (1e-3,),
        {"review’s checkpoints": "98.84 %", "ETH": "98.89 %", "paper": "98.7 to 99.1 %"},
    ),
    "mnist-accuracy-1e-2": (
        (1e-2,),
        {"review’s checkpoints": "98.23 %", "ETH": "98.68 %", "paper": "98.7 to 99.1 %"},
    ),
    "mnist-accuracy-1e-1": (
        (1e-1,),
        {"review’s checkpoints": "96.27 %", "ETH": "97.12 %", "paper": "98.7 to 99.1 %"},
    ),
    "mnist-collapse": (
        (1.0,),
        {
            "paper": "98.7 %",
            "review": "40 %",
            "review’s checkpoints": "26.30 %",
            "review’s best validation": "24.45 %",
            "ETH": "10.30 %",
        },
    ),
    "disenn-accuracy": ((1e-3,), {"review": "98.36 %"}),
    "stable-explanations": ((), {}),
    "poor-explanations": ((), {}),
    "disenn-diversity": ((), {}),
    "stability-uci": ((), {}),
    "stability-mnist": ((), {}),
    "stability-digit": ((), {}),
    "stability-compas": ((), {}),
    "faithfulness-uci": ((), {}),
    "concepts-attackable": ((), {}),
    "power-reuters": ((), {}),
    "power-newsgroups": ((), {}),
}


def test_all_numbers_are_there_as_published():
    claims = {c.id: (c.lambdas, {str(n): n.printed for n in c.numbers}) for c in CLAIMS}
    assert claims == PUBLISHED


def test_a_number_is_all_that_rounds_to_it():
    ends = {
        "80.9 %": (0.8085, 0.8095),
        "82.02 %": (0.82015, 0.82025),
        "40 %": (0.395, 0.405),
        "10.30 %": (0.10295, 0.10305),
        "98.7 to 99.1 %": (0.9865, 0.9915),
        "about 15 points": (0.145, 0.155),
        "15.0 points": (0.1495, 0.1505),
    }
    for printed, (low, high) in ends.items():
        number = Number("review", printed)
        assert (number.low, number.high) == (pytest.approx(low), pytest.approx(high)), printed


def test_distance_is_from_what_was_printed():
    assert Number("paper", "40 %").distance(0.404) == pytest.approx(0.004)
    assert Number("paper", "40 %").distance(0.39) == pytest.approx(0.01)
    span = Number("paper", "98.7 to 99.1 %")
    assert span.distance(0.99) == 0
    assert span.distance(0.993) == pytest.approx(0.002)


def test_names_of_numbers():
    assert Number("review", "26.30 %", "checkpoints").name == "the review’s checkpoints (26.30 %)"
    assert Number("ETH", "10.30 %").name == "ETH (10.30 %)"


def said(identity: str) -> list[list[str]]:
    (claim,) = (claim for claim in CLAIMS if claim.id == identity)
    return [[number.printed for number in group] for group in answers(claim.numbers)]


def test_answers_differ_where_their_ranges_do():
    assert said("compas-accuracy") == [["80.9 %", "80.88 %"], ["82.02 %"]]
    assert said("compas-tradeoff") == [["about 4 points"], ["about 15 points", "15.0 points"]]
    assert said("mnist-collapse") == [["10.30 %"], ["24.45 %"], ["26.30 %"], ["40 %"], ["98.7 %"]]
    assert said("mnist-accuracy-1e-2") == [["98.23 %"], ["98.7 to 99.1 %", "98.68 %"]]
    # 98.89 and 98.99 do not overlap, but the paper's range has both.
    assert len(said("mnist-accuracy")) == 1
    assert answers([]) == []


def test_published_at_one_lambda():
    five = published_at("mnist_senn", "mnist", 1.0)
    assert [n.printed for n in five] == ["98.7 %", "40 %", "26.30 %", "24.45 %", "10.30 %"]
    assert published_at("mnist_senn", "mnist_5k", 1.0) == ()
    assert published_at("mnist_senn", "mnist", 0.5) == published_at("mine", "mnist", 1.0) == ()


def test_experiments_and_datasets():
    for claim in CLAIMS:
        family = claim.id.split("-")[0]
        if family in ("compas", "mnist", "disenn"):
            expected = {"compas": "compas_senn", "mnist": "mnist_senn", "disenn": "mnist_disenn"}
            assert claim.experiment == expected[family]
        datasets = {
            "compas_senn": "compas",
            "uci_breast_cancer": "uci/breast_cancer",
            "uci": "uci",
            "reuters_senn": "reuters_r8",
            "newsgroups_senn": "newsgroups",
        }
        assert claim.dataset == datasets.get(claim.experiment, "mnist")


def test_curves_are_the_published_tables():
    curves = {(curve.experiment, curve.label): curve for curve in PUBLISHED_CURVES}
    compas = curves["compas_senn", "review, best validation accuracy"].means
    expected = [0.795, 0.78333, 0.76417, 0.685, 0.63833]
    assert list(compas.values()) == pytest.approx(expected, abs=1e-4)
    mnist = curves["mnist_senn", "review, best validation accuracy"].points
    assert [mnist[reg] for reg in (1e-4, 1.0)] == [(0.9883,), (0.2445,)]
    (band,) = PUBLISHED_RANGES
    assert (band.low, band.high) == (0.987, 0.991)


def test_points_of_curves_agree_with_claims():
    """Every published test accuracy that is judged is drawn."""
    sources = {
        "review, test accuracy": "review",
        "review, checkpoints on the test set": "review’s checkpoints",
        "ETH, test accuracy": "ETH",
    }
    drawn = {
        (curve.experiment, sources[curve.label], value): share
        for curve in PUBLISHED_CURVES
        if curve.label in sources
        for value, share in curve.means.items()
    }
    judged = {
        (claim.experiment, str(number), claim.lambdas[0]): number
        for claim in CLAIMS
        if claim.kind == "accuracy"
        for number in claim.numbers
        if str(number) in sources.values()
    }
    assert len(judged) == 15
    for key, number in judged.items():
        assert number.low < drawn[key] < number.high, key


# --- how the published numbers were made --------------------------------------------------------


@pytest.mark.parametrize("name", PROTOCOLS)
def test_the_preset_departs_nowhere_but_on_the_papers_table(name):
    """The preset is the review's, and all experiments have one robustness loss."""
    departs = deviations(PAPER, name)
    assert departs == (OF_PAPER if name == "uci_breast_cancer" else ())


OF_PAPER = (
    "robustness.variant review2020 instead of authors2018",
    "lr 0.005 instead of 0.0002",
)


def test_what_differs_is_named_with_both_values():
    experiments = PAPER.experiments | {
        "mnist_senn": PAPER.experiments["mnist_senn"].model_copy(update={"lr": 2e-4})
    }
    robustness = PAPER.robustness.model_copy(update={"probes": 1, "reduction": "example"})
    changed = PAPER.model_copy(update={"experiments": experiments, "robustness": robustness})
    assert set(deviations(changed, "mnist_senn")) == {
        "lr 0.0002 instead of 0.001",
        "robustness.probes 1 instead of exact",
        "robustness.reduction example instead of batch",
    }


def test_the_default_run():
    assert deviations(DEFAULT, "compas_senn") == ()  # its loss takes no probes
    disenn = deviations(DEFAULT, "mnist_disenn")
    assert "vae.objective elbo instead of review2020" in disenn
    assert "pretrain.pretrain_epochs 12 instead of 1" in disenn
    assert "conceptizer.decoder_shared false instead of true" in deviations(DEFAULT, "mnist_senn")


def test_an_experiment_of_ones_own_departs_from_nothing():
    mine = PAPER.experiments["compas_senn"].model_copy(update={"lr": 1.0})
    changed = PAPER.model_copy(update={"experiments": PAPER.experiments | {"mine": mine}})
    assert deviations(changed, "mine") == ()
