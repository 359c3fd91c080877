"""What a GPU runs, on the CPU: all cells at once against one by one, launches, devices."""

from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.optim import optimizer
from torch.testing import assert_close

from benchmarks.launches import table
from pipeline.core.cells import Cell
from pipeline.core.dataset import Dataset, Split, load_dataset
from pipeline.core.params import Params
from pipeline.core.store import Checkpoint
from pipeline.models.stacking import stacked_weights
from pipeline.training import bank, stepping
from pipeline.training.bank import TrainedCell, train_bank
from pipeline.training.batches import at_step, draw_batches, each_tensor
from pipeline.training.objectives import Objective
from pipeline.training.stepping import VmapStepping, _validate
from tests.training.grids import (
    EXPERIMENTS,
    NO_CHECKPOINT,
    NO_CUDA,
    double,
    initial,
    settings,
    write_data,
)

LOSSES: dict[str, dict[str, Any]] = {
    "review2020, a probe": {"variant": "review2020", "probes": 1},
    "review2020, exact": {"variant": "review2020", "probes": "exact", "reduction": "example"},
    "paper2018, two probes": {"variant": "paper2018", "probes": 2, "reduction": "example"},
    "paper2018, exact": {"variant": "paper2018", "probes": "exact"},
}


def short(name: str, robustness: dict[str, Any], **sizes: Any) -> Params:
    sizes = {"batch_size": 12, "epochs": 2, "eval_freq": 3, "lr": 0.01, **sizes}
    changes = {f"experiments.{name}.{key}": value for key, value in sizes.items()}
    return settings(changes | {f"robustness.{key}": value for key, value in robustness.items()})


def trained(name: str, data: Dataset, params: Params, **how: Any) -> list[TrainedCell]:
    objective = Objective(params.experiment(name), params.robustness, params.vae)
    cells = [Cell(name, robust_reg, seed) for seed in (1, 2) for robust_reg in (0.0, 0.1)]
    how = {"report": lambda *_: None, "checkpoint": NO_CHECKPOINT, **how}
    return train_bank(cells, objective, initial(name, data, params), data, **how)


@pytest.mark.parametrize("robustness", LOSSES.values(), ids=LOSSES.keys())
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_at_once_is_one_by_one(name, robustness, tmp_path, monkeypatch):
    monkeypatch.setattr(bank, "fits", lambda *_: False)  # tables by autograd, too
    data = double(load_dataset(write_data(name, tmp_path, train=50, valid=40)))
    params = short(name, robustness)
    expected = trained(name, data, params)
    for width in (None, 7):  # idle cells or none
        monkeypatch.setattr(bank, "CellStepping", partial(VmapStepping, width=width))
        for one, other in zip(trained(name, data, params), expected, strict=True):
            assert_close(one.weights, other.weights, rtol=0, atol=1e-9)
            assert (one.step, one.valid_accuracy) == (other.step, other.valid_accuracy)
            for row, other_row in zip(one.curve, other.curve, strict=True):
                assert row == pytest.approx(other_row, abs=1e-9)


def test_goes_on_from_a_checkpoint(tmp_path, monkeypatch):
    name = "mnist_disenn"
    data = load_dataset(write_data(name, tmp_path, train=50, valid=40))
    params = short(name, LOSSES["review2020, a probe"])
    monkeypatch.setattr(bank, "CellStepping", partial(VmapStepping, width=6))
    expected = trained(name, data, params)
    how = {"checkpoint": Checkpoint(tmp_path / "unfinished.safetensors")}

    def interrupt(epoch: int, accuracy: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(name, data, params, report=interrupt, **how)
    epochs: list[int] = []
    results = trained(name, data, params, report=lambda epoch, _: epochs.append(epoch), **how)
    assert epochs == [2]
    for one, other in zip(results, expected, strict=True):
        assert all(torch.equal(one.weights[key], value) for key, value in other.weights.items())
        assert one.curve == other.curve


def test_steps_are_undone(tmp_path):
    """What precedes the recording of a CUDA graph changes nothing, and moves nothing."""
    name = "mnist_disenn"
    data = load_dataset(write_data(name, tmp_path, train=50, valid=40))
    params = short(name, LOSSES["review2020, a probe"])
    objective = Objective(params.experiment(name), params.robustness, params.vae)
    model = initial(name, data, params)(1)
    cells = [Cell(name, 0.1, 1), Cell(name, 0.2, 1)]
    weights = stacked_weights([model] * 2, torch.device("cpu"))
    vmapped = VmapStepping(model, weights, objective, cells, data)
    batches = {1: draw_batches(model, objective, 1, 1, data.train)}
    vmapped.advance(batches, 0, 2, 0)
    drawn = each_tensor(lambda t: t[2:3], batches[1])

    def memory() -> list[tuple[int, Tensor]]:
        adam = vmapped.adam
        tensors = (*adam.parameters, *adam.means, *adam.squares, *adam.steps)
        return [(t.data_ptr(), t.clone()) for t in tensors]

    before = memory()
    with vmapped._unchanged():
        vmapped.step(drawn)
        assert any(
            not torch.equal(t, other) for (_, t), (_, other) in zip(memory(), before, strict=True)
        )
    for (place, t), (old_place, other) in zip(memory(), before, strict=True):
        assert place == old_place and torch.equal(t, other)


@NO_CUDA
@pytest.mark.parametrize("robustness", LOSSES.values(), ids=LOSSES.keys())
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_gpu_computes_the_same(name, robustness, tmp_path):
    """In float64: the GPU's convolutions, products and optimiser against the CPU's."""
    data = double(load_dataset(write_data(name, tmp_path, train=50, valid=40)))
    params = short(name, robustness | {"probes": "exact"})
    objective = Objective(params.experiment(name), params.robustness, params.vae)
    cells = [Cell(name, robust_reg, 1) for robust_reg in (0.0, 0.1)]
    model = initial(name, data, params)(1)
    drawn = draw_batches(model, objective, 1, 1, data.train)
    found = []
    for device in (torch.device("cpu"), torch.device("cuda")):
        weights = stacked_weights([model] * 2, device)
        vmapped = VmapStepping(model, weights, objective, cells, data.to(device), width=3)
        batches = each_tensor(lambda t, device=device: t.to(device), drawn)
        losses = vmapped.advance({1: batches}, 0, len(drawn.examples), 0)
        accuracy, cross_entropy = vmapped.validate()
        found.append([t.cpu() for t in (losses, weights, cross_entropy, accuracy.double())])
    *of_cpu, accuracy = found[0]
    *of_gpu, same_accuracy = found[1]
    for one, other in zip(of_cpu, of_gpu, strict=True):
        assert_close(one, other, rtol=1e-9, atol=1e-9)
    assert_close(accuracy, same_accuracy, rtol=0, atol=1e-6)  # a quotient in float32


@NO_CUDA
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_recorded_step_is_the_step(name, tmp_path, monkeypatch):
    data = load_dataset(write_data(name, tmp_path, train=50, valid=40)).to("cuda")
    params = short(name, LOSSES["review2020, a probe"])
    recorded = trained(name, data, params, width=7)
    monkeypatch.setattr(stepping, "Replayed", lambda function, unchanged=None: function)
    for one, other in zip(recorded, trained(name, data, params, width=7), strict=True):
        assert all(torch.equal(one.weights[key], value) for key, value in other.weights.items())
        assert one.curve == other.curve


def test_launches_are_few_and_as_many_for_any_number_of_cells_and_both_losses():
    (launches,) = table(cells=(1, 5)).launches.unique()
    assert launches <= 300


@pytest.mark.parametrize("robustness", LOSSES.values(), ids=LOSSES.keys())
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_step_stays_on_its_device(name, robustness, tmp_path, monkeypatch):
    """Fake tensors have a device and no values: one elsewhere, or a look at a value, raises.

    The device is `meta`: builds of torch for CPUs do not index fake tensors on `cuda`.
    """
    monkeypatch.setattr(optimizer, "_get_fused_kernels_supported_devices", lambda: ["meta"])
    data = load_dataset(write_data(name, tmp_path, train=50, valid=40))
    params = short(name, robustness)
    objective = Objective(params.experiment(name), params.robustness, params.vae)
    cells = [Cell(name, 0.1, 1), Cell(name, 0.2, 1), Cell(name, 0.1, 2)]
    model, meta = initial(name, data, params)(1), torch.device("meta")
    with FakeTensorMode(allow_non_fake_inputs=True):
        weights, moved = stacked_weights([model] * 3, meta), data.to(meta)
        stepping = VmapStepping(model, weights, objective, cells, moved, width=4)
        batches = [at_step(draw_batches(model, objective, s, 1, data.train), 0) for s in (1, 2)]
        losses = stepping.step(each_tensor(lambda *seeds: torch.stack(seeds).to(meta), *batches))
        accuracy, cross_entropy = stepping.validate()
    assert losses.shape == (4, 4) and accuracy.shape == cross_entropy.shape == (3,)
    for tensor in (losses, accuracy, cross_entropy, *stepping.parameters.values()):
        assert tensor.device.type == "meta"


def test_logits_that_hardly_differ_are_told_apart():
    # A log-softmax rounds both to −0.6931472.
    split = Split(torch.zeros(3, 1), torch.tensor([1, 1, 0]))
    data = SimpleNamespace(valid=split)
    logits = torch.tensor([[[1e-9, 2e-9]] * 3, [[2e-9, 1e-9]] * 3])
    accuracies, losses = _validate(data, lambda x: logits)
    assert_close(accuracies, torch.tensor([2 / 3, 1 / 3]))
    assert_close(losses, torch.full((2,), 2.0).log())
