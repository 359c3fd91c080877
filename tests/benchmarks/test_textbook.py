"""The textbook computes the same as the pipeline, so their times may be compared."""

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from benchmarks.measure import PAPER, changed
from benchmarks.textbook import Textbook, total_loss, train
from pipeline.core.cells import Cell
from pipeline.core.dataset import Dataset, load_dataset
from pipeline.core.params import Params, load_params
from pipeline.models.building import Inputs, build_senn
from pipeline.models.senn import Senn
from pipeline.training.objectives import Objective
from tests.training import grids

PUBLISHED = load_params(PAPER)
NAMES = ("compas_senn", "mnist_senn", "mnist_disenn")  # the review's experiments
CPU = torch.device("cpu")
ROBUST_REG = 0.25  # exact in float32, which a bank keeps its λ in


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """``data[name]``: a small data set for experiment `name`."""
    folder = tmp_path_factory.mktemp("data")
    paths = {name: grids.write_data(name, folder / name) for name in NAMES}
    return {name: load_dataset(path) for name, path in paths.items()}


def both(params: Params, name: str, data: Dataset) -> tuple[Senn, Textbook]:
    """The pipeline's model and the textbook's, with the same weights."""
    inputs = Inputs(data.input_shape, data.mean, data.std)
    senn = build_senn(name, params.experiment(name), params.vae, inputs, seed=3)
    textbook = Textbook(params, name, data)
    with torch.no_grad():
        ours = in_textbook_order(dict(senn.named_parameters()))
        for value, place in zip(ours, textbook.parameters(), strict=True):
            place.copy_(value)
    return senn, textbook


def in_textbook_order(named: Mapping[str, Tensor]) -> list[Tensor]:
    """The pipeline's weights, or gradients, as the textbook has them: a layer for each concept."""
    values = []
    for name, value in named.items():
        if name.endswith("_scalar.weight"):
            biases = named[name.replace("weight", "bias")]
            for weight, bias in zip(value, biases, strict=True):
                values += [weight.T, bias]
        elif not name.endswith("_scalar.bias"):
            values.append(value)
    return values


@pytest.mark.parametrize("variant", ["paper2018", "review2020"])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("objective", "target"), [("review2020", "review2020"), ("elbo", "unit")])
def test_losses_and_gradients_are_the_pipelines(data, name, variant, objective, target):
    changes = {"robustness.variant": variant, "vae.objective": objective, "vae.target": target}
    params = changed(PUBLISHED, changes)
    assert params.robustness.probes == "exact"
    senn, textbook = (model.double() for model in both(params, name, data[name]))
    x, y = data[name].train.x[:7].double(), data[name].train.y[:7]

    objective = Objective(params.experiment(name), params.robustness, params.vae)
    ours = objective(senn, torch.tensor(ROBUST_REG), x, y, None, None).total
    theirs = total_loss(textbook.eval(), ROBUST_REG, x, y)
    torch.testing.assert_close(theirs, ours, rtol=1e-10, atol=0)

    names = [name for name, _ in senn.named_parameters()]
    gradients = torch.autograd.grad(ours, list(senn.parameters()), materialize_grads=True)
    expected = in_textbook_order(dict(zip(names, gradients, strict=True)))
    gradients = torch.autograd.grad(theirs, list(textbook.parameters()), materialize_grads=True)
    for value, gradient in zip(gradients, expected, strict=True):
        torch.testing.assert_close(value, gradient, rtol=1e-8, atol=1e-12)
    without = total_loss(textbook, 0.0, x, y)
    assert not torch.isclose(without, theirs, rtol=1e-5), "the robustness loss is not in it"


def test_training_a_table_finds_the_pipelines_weights(data):
    """Whole batches: their order, all that the textbook draws itself, does not matter."""
    name, table = "compas_senn", data["compas_senn"]
    changes = {"batch_size": len(table.train), "epochs": 40, "eval_freq": 10, "lr": 0.01}
    params = changed(PUBLISHED, {f"experiments.{name}.{key}": v for key, v in changes.items()})
    cell = Cell(name, ROBUST_REG, 3)
    expected = grids.train([cell], table, params)[cell]

    _, textbook = both(params, name, table)
    reports = []
    best = train(textbook, ROBUST_REG, table, CPU, lambda *state: reports.append(state))
    for key, weights in zip(best, expected.weights.values(), strict=True):
        torch.testing.assert_close(best[key], weights, rtol=1e-3, atol=1e-4)
    assert [epoch for epoch, _ in reports] == list(range(1, 41))
    assert reports[-1][1] == pytest.approx(expected.valid_accuracy)


@pytest.mark.parametrize("name", ["mnist_senn", "mnist_disenn"])
def test_training_images_learns_with_dropout_and_noise(data, name):
    keys = {"batch_size": 20, "epochs": 10, "eval_freq": 5, "lr": 0.01, "dropout": 0.2}
    params = changed(PUBLISHED, {f"experiments.{name}.{key}": v for key, v in keys.items()})
    torch.manual_seed(0)
    reports = []
    model = Textbook(params, name, data[name])
    best = train(model, 1e-4, data[name], CPU, lambda *state: reports.append(state))
    assert reports[-1][1] > 0.3, "a tenth is chance"
    assert {key: value.shape for key, value in best.items()} == {
        key: value.shape for key, value in model.state_dict().items()
    }


@pytest.mark.parametrize(
    ("until", "expected"),
    [("epoch_end", "tttttttttt"), ("first_validation", "tttfftffff")],
)
def test_training_mode_ends_with_an_epochs_first_validation(data, until, expected, monkeypatch):
    name, modes = "mnist_senn", []

    def recorded(model: Textbook, *batch) -> Tensor:
        modes.append("ft"[model.training])
        return total_loss(model, *batch)

    monkeypatch.setattr("benchmarks.textbook.total_loss", recorded)
    keys = {"batch_size": 22, "epochs": 2, "eval_freq": 3, "training_mode_until": until}
    params = changed(PUBLISHED, {f"experiments.{name}.{key}": v for key, v in keys.items()})
    train(Textbook(params, name, data[name]), 0.0, data[name], CPU, lambda *_: None)
    # 5 steps an epoch; validations after 3, 6, 9 and 10 steps: the second epoch's first after 1.
    assert "".join(modes) == expected
