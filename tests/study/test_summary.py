import pytest
import torch

from pipeline.core.params import load_params
from pipeline.study.definitions import Definition
from pipeline.study.summary import constant_from, summarise
from tests.conftest import REPOSITORY
from tests.study.tables import study_table
from tests.study.test_references import dataset

PARAMS = load_params(REPOSITORY / "params.yaml")
CELLS = study_table(
    {
        Definition("paper2018", "batch"): lambda v: 0.8 - 0.1 * v,
        Definition("review2020", "batch"): lambda v: 0.7 - 0.3 * v,
    }
)
X = torch.tensor([[1.0, 2.0], [2.0, 1.0], [3.0, 1.0]])
DATA = dataset(X, torch.tensor([0, 1, 1]))


def test_raw_features_have_references():
    found = summarise(CELLS, PARAMS.experiment("compas_senn"), DATA)
    assert found == {
        "majority_accuracy": pytest.approx(2 / 3),
        "linear_accuracy": 1.0,
        "constant_from_batch": pytest.approx(constant_from(X, 2, 200, "batch")),
        "paper2018_batch_accuracy_lost": pytest.approx(0.09999),
        "review2020_batch_accuracy_lost": pytest.approx(0.29997),
    }


def test_learned_concepts_have_none_but_the_majority():
    found = summarise(CELLS, PARAMS.experiment("mnist_senn"), DATA)
    assert [name for name in found if "lost" not in name] == ["majority_accuracy"]
