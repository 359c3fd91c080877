"""A cell's bits do not depend on its company, on its place in it, or on interruptions."""

import random
from typing import Any

import pytest
import torch

from pipeline.core.cells import Cell
from pipeline.core.dataset import Dataset, load_dataset
from pipeline.core.params import Params, load_params
from pipeline.core.store import Checkpoint
from pipeline.training.bank import TrainedCell, train_bank
from pipeline.training.objectives import Objective
from tests.conftest import REPOSITORY
from tests.training.grids import NO_CUDA, SMOKE, initial, settings, train, write_data

LAMBDAS = (0.0, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0)
PAPER = load_params(REPOSITORY / "presets/paper.yaml")
PAPER_EXACT = {"variant": "paper2018", "reduction": "example", "probes": "exact"}


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=NO_CUDA)])
def device(request) -> str:
    return request.param


def short(
    name: str, preset: Params = SMOKE, robustness: dict[str, Any] | None = None, **changes: Any
) -> Params:
    """`preset` with few and small steps for experiment `name`, and other changes."""
    changes = {"batch_size": 12, "eval_freq": 4, "lr": 0.01, **changes}
    keys = {f"experiments.{name}.{key}": value for key, value in changes.items()}
    keys |= {f"robustness.{key}": value for key, value in (robustness or {}).items()}
    return settings(keys, preset)


def assert_same_bits(one: TrainedCell, other: TrainedCell) -> None:
    for name, value in one.weights.items():
        assert torch.equal(value, other.weights[name]), f"{one.cell}: {name}"
    assert (one.step, one.valid_accuracy) == (other.step, other.valid_accuracy)
    assert one.curve == other.curve


@pytest.mark.parametrize(
    ("name", "params", "seeds", "shuffles"),
    [
        # Where a place matters, it changes a bit now and then: many short steps, where cheap.
        ("compas_senn", short("compas_senn", epochs=12), (1, 2, 3, 4), 4),
        ("compas_senn", short("compas_senn", epochs=16, eval_freq=32), (1, 2, 3, 4), 1),
        ("compas_senn", short("compas_senn", SMOKE, PAPER_EXACT, epochs=4), (1, 2, 3, 4), 1),
        ("mnist_senn", short("mnist_senn", PAPER, {"probes": 1}, epochs=1, batch_size=25), (1,), 0),
        ("mnist_disenn", short("mnist_disenn", epochs=2), (1, 2), 0),
        ("mnist_disenn", short("mnist_disenn", SMOKE, PAPER_EXACT, epochs=1), (1,), 0),
        ("mnist_disenn", short("mnist_disenn", PAPER, epochs=1, batch_size=9), (1,), 0),
        ("reuters_senn", short("reuters_senn", epochs=2), (1, 2), 1),
    ],
    ids=[
        "table",
        "table, long means",
        "table, exact",
        "paper's sizes",
        "vae",
        "vae, exact",
        "paper's vae",
        "words",
    ],
)
def test_neither_company_nor_place_changes_a_bit(name, params, seeds, shuffles, device, tmp_path):
    data: Dataset = load_dataset(write_data(name, tmp_path, train=50, valid=40)).to(device)
    cells = [Cell(name, robust_reg, seed) for seed in seeds for robust_reg in LAMBDAS]
    expected = train(cells, data, params)
    company = [cells[::-1], *(random.Random(i).sample(cells, len(cells)) for i in range(shuffles))]
    company += [cells[2:5], [cells[3], cells[-2]]]
    banks = [(cells, 1)]  # alone, cells have neither company nor place
    banks += [
        (others, width)
        for others in company
        for width in {min(width, len(others)) for width in (2, 3, 5, len(cells))}
    ]
    for others, width in banks:
        for cell, result in train(others, data, params, width).items():
            assert_same_bits(result, expected[cell])


def test_training_twice_gives_the_same_bits(device, tmp_path):
    name = "mnist_disenn"
    data = load_dataset(write_data(name, tmp_path, train=50, valid=40)).to(device)
    cell, params = Cell(name, 0.1, 1), short(name, epochs=2)
    first = train([cell], data, params)[cell]
    torch.manual_seed(99)
    keep = [torch.randn(n) for n in range(1, 2_000, 77)]  # other addresses in memory
    assert_same_bits(train([cell], data, params)[cell], first)
    del keep


def test_randomness_is_the_seeds_and_shared_by_its_lambdas(tmp_path):
    # At the first step weights are the initial ones, so losses differ by what was drawn only.
    name = "mnist_disenn"
    data = load_dataset(write_data(name, tmp_path, train=50, valid=40))
    cells = [Cell(name, robust_reg, seed) for seed in (1, 2) for robust_reg in (0.0, 0.1, 10.0)]
    trained = train(cells, data, short(name, epochs=1, eval_freq=1))
    terms = ("train_classification", "train_robustness", "train_concept")
    first = {cell: [trained[cell].curve[0][term] for term in terms] for cell in cells}
    assert first[cells[0]] == first[cells[1]] == first[cells[2]]
    assert first[cells[3]] == first[cells[4]] == first[cells[5]]
    assert all(map(float.__ne__, first[cells[0]], first[cells[3]]))


class Interrupted(Exception):
    """Somebody pressed Ctrl-C."""


@pytest.mark.parametrize("name", ["compas_senn", "mnist_disenn", "reuters_senn"])
def test_an_interruption_does_not_change_a_bit(name, device, tmp_path):
    data = load_dataset(write_data(name, tmp_path / "data", train=50, valid=40)).to(device)
    # Validations every 3 steps, 4 steps an epoch: an epoch ends between two validations.
    params = short(name, epochs=4, eval_freq=3)
    objective = Objective(params.experiments[name], params.robustness, params.vae)
    cells = [Cell(name, robust_reg, 1) for robust_reg in (0.0, 0.1)]
    checkpoint = Checkpoint(tmp_path / "unfinished.safetensors")
    epochs: list[int] = []

    def run(stop_after: int, bank: list[Cell] = cells) -> list[TrainedCell]:
        def report(epoch: int, accuracy: float) -> None:
            epochs.append(epoch)
            if epoch == stop_after:
                raise Interrupted

        start, width = initial(name, data, params), 32 if device == "cuda" else None
        return train_bank(bank, objective, start, data, report, checkpoint, width)

    for epoch in (2, 3):
        with pytest.raises(Interrupted):
            run(stop_after=epoch)
    results = run(stop_after=-1)
    assert epochs == [1, 2, 3, 4]
    expected = train(cells, data, params)
    for result in results:
        assert_same_bits(result, expected[result.cell])

    # It serves some of its cells, too, and nothing is left to do; others begin anew.
    epochs.clear()
    (alone,) = run(stop_after=-1, bank=cells[1:])
    assert_same_bits(alone, expected[cells[1]])
    assert epochs == []
    other = Cell(name, 0.5, 1)
    assert [result.cell for result in run(stop_after=-1, bank=[*cells, other])] == [*cells, other]
    assert epochs == [1, 2, 3, 4]

    # One that cannot be read is as good as none.
    checkpoint.remove()
    with pytest.raises(Interrupted):
        run(stop_after=2)
    checkpoint.path.write_bytes(checkpoint.path.read_bytes()[:-1])
    epochs.clear()
    for result in run(stop_after=-1):
        assert_same_bits(result, expected[result.cell])
    assert epochs == [1, 2, 3, 4]
