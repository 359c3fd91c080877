"""Small made-up data sets, and grids of cells to train on them."""

import copy
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pipeline.core.cells import Cell
from pipeline.core.dataset import Dataset, Prepared, Split, save_dataset
from pipeline.core.params import Params, load_params
from pipeline.core.store import Checkpoint
from pipeline.models.building import Inputs, build_senn
from pipeline.models.senn import Senn
from pipeline.training.bank import TrainedCell, train_bank
from pipeline.training.objectives import Objective
from tests.conftest import REPOSITORY
from tests.models.textbook import Architecture

CPU = torch.device("cpu")
NO_CHECKPOINT = Checkpoint(None)
NO_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
SMOKE = load_params(REPOSITORY / "presets/smoke.yaml")

# The smoke preset's models, written out.
ARCHITECTURES = {
    "compas_senn": Architecture((11,), 11, 2, hidden_sizes=(5, 5)),
    "mnist_senn": Architecture(
        (1, 28, 28), 5, 10, "conv", (4,), (8, 4), channels=(4, 8), dropout=0.5
    ),
    "mnist_disenn": Architecture(
        (1, 28, 28), 5, 10, "vae", vae_sizes=(32, 16), channels=(4, 8), dropout=0.5
    ),
    "reuters_senn": Architecture(
        (10, 8), 10, 8, "words", hidden_sizes=(4,), cell="gru", bidirectional=True
    ),
}

EXPERIMENTS = tuple(ARCHITECTURES)


def settings(changes: dict[str, Any], params: Params = SMOKE) -> Params:
    """`params` with values of dotted keys changed, and validated."""
    content = params.model_dump()
    for key, value in changes.items():
        *path, last = key.split(".")
        section = content
        for name in path:
            section = section[name]
        section[last] = copy.deepcopy(value)
    return Params.model_validate(content)


def write_table(folder: Path, train: int = 230, valid: int = 60, test: int = 20) -> Path:
    """A table of 11 features in [0, 1] and 2 noisy classes, as ``prepare`` writes one."""
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(11, generator=generator)

    def split(examples: int) -> Split:
        x = torch.rand(examples, 11, generator=generator)
        noise = 0.2 * torch.randn(examples, generator=generator)
        return Split(x, ((x - 0.5) @ weights + noise > 0).long())

    features = tuple(f"feature {i}" for i in range(11))
    splits = [split(examples) for examples in (train, valid, test)]
    save_dataset(folder, Prepared("compas", *splits, features, ("no", "yes")))
    return folder


def write_digits(folder: Path, train: int = 110, valid: int = 40, test: int = 20) -> Path:
    """28 × 28 images of 10 noisy blobs, as ``prepare`` writes them."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(10, 1, 4, 4, generator=generator)
    blobs = torch.nn.functional.interpolate(coarse, (28, 28), mode="bilinear")

    def split(examples: int) -> Split:
        y = torch.arange(examples) % 10
        noise = 0.3 * torch.randn(examples, 1, 28, 28, generator=generator)
        return Split(((blobs[y] + noise).clamp(0, 1) * 255).to(torch.uint8), y)

    splits = [split(examples) for examples in (train, valid, test)]
    names = tuple(map(str, range(10)))
    save_dataset(folder, Prepared("mnist_5k", *splits, (), names, 0.1307, 0.3081))
    return folder


def write_texts(folder: Path, train: int = 110, valid: int = 40, test: int = 20) -> Path:
    """Texts of at most 10 words out of 40, 8 topics with noisy words of their own, as written."""
    generator = torch.Generator().manual_seed(0)
    words = ("", *(f"word {i}" for i in range(1, 41)))
    embeddings = torch.randn(len(words), 8, generator=generator)
    embeddings[0] = 0

    def split(examples: int) -> Split:
        y = torch.arange(examples) % 8
        places = torch.randint(1, 41, (examples, 10), generator=generator)
        of_topic = torch.rand(examples, 10, generator=generator) < 0.5
        places = torch.where(of_topic, 1 + y.unsqueeze(1), places)
        lengths = torch.randint(3, 11, (examples, 1), generator=generator)
        return Split(places.where(torch.arange(10) < lengths, 0), y)

    splits = [split(examples) for examples in (train, valid, test)]
    topics = tuple(f"topic {i}" for i in range(8))
    about = {"vocabulary": words, "embeddings": embeddings}
    save_dataset(folder, Prepared("reuters_r8", *splits, (), topics, **about))
    return folder


def write_data(name: str, folder: Path, **sizes: int) -> Path:
    """The data set that experiment `name` needs."""
    write = {"compas_senn": write_table, "reuters_senn": write_texts}.get(name, write_digits)
    return write(folder, **sizes)


def double(data: Dataset) -> Dataset:
    """`data` in float64."""
    splits = {
        name: Split(getattr(data, name).x.double(), getattr(data, name).y)
        for name in ("train", "valid", "test")
    }
    return dataclasses.replace(data, **splits)


def initial(name: str, data: Dataset, params: Params) -> Callable[[int], Senn]:
    """``initial(seed)``: the freshly initialised model, in the precision of `data`."""
    inputs = Inputs(data.input_shape, data.mean, data.std)
    experiment = params.experiment(name)
    return lambda seed: build_senn(name, experiment, params.vae, inputs, seed).to(data.train.x)


def train(
    cells: Sequence[Cell], data: Dataset, params: Params, width: int = 5
) -> dict[Cell, TrainedCell]:
    """Train `cells` of one experiment in banks of `width`, which a GPU fills up alike."""
    name = cells[0].experiment
    objective = Objective(params.experiment(name), params.robustness, params.vae)
    start = initial(name, data, params)
    filled_up = 32 if data.train.x.is_cuda else None
    trained = {}
    for i in range(0, len(cells), width):
        bank = list(cells[i : i + width])
        how = {"report": lambda *_: None, "checkpoint": NO_CHECKPOINT, "width": filled_up}
        for result in train_bank(bank, objective, start, data, **how):
            trained[result.cell] = result
    return trained


def in_order(weights: dict[str, Tensor], model: torch.nn.Module) -> list[Tensor]:
    """`weights` in the order of the parameters of `model`."""
    return [weights[name] for name, _ in model.named_parameters()]


def run_in_turn(work: Any, tasks: Sequence[Any], device: Any, report: Any) -> Iterator[Any]:
    """`run_side_by_side` without processes: here, one task after the other, on one thread."""
    torch.set_num_threads(1)
    for index, task in enumerate(tasks):
        yield index, work(task, lambda *state, index=index: report(index, *state))
