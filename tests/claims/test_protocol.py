import pytest

from pipeline.claims.protocol import PROTOCOLS, deviations
from pipeline.core.params import load_params
from tests.conftest import REPOSITORY

PAPER = load_params(REPOSITORY / "presets/paper.yaml")
DEFAULT = load_params(REPOSITORY / "params.yaml")


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
