"""Train one bank, from prepared data to the files of its cells: what a worker does."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from pipeline.core.dataset import FILE_NAME, Dataset, load_dataset
from pipeline.core.errors import PipelineError
from pipeline.core.params import Experiment, Params
from pipeline.core.store import CellStore
from pipeline.core.workers import Report, one_thread
from pipeline.models.building import Inputs, build_senn
from pipeline.models.cells import Cell, load_weights, save_weights
from pipeline.models.senn import Senn
from pipeline.training.bank import Bank, most_cells, train_bank
from pipeline.training.objectives import Objective


@dataclass(frozen=True)
class Job:
    """What a worker needs to train any bank of an experiment.

    `data` is the folder of the prepared data set, `vaes` that of the pretrained β-VAEs, `models`
    the one to write cells into.
    """

    params: Params
    name: str
    device: torch.device
    data: Path
    vaes: Path
    models: Path
    store: CellStore

    @property
    def experiment(self) -> Experiment:
        """The experiment's section of the params."""
        return self.params.experiment(self.name)

    @property
    def pretrained(self) -> bool:
        """Whether training starts from the β-VAEs, as every DiSENN's and no SENN's does."""
        return self.experiment.initial_weights == "models/vae"

    def vae(self, seed: int) -> Path:
        """The file of a seed's β-VAE."""
        return self.vaes / f"seed={seed}.safetensors"


@dataclass(frozen=True)
class Task:
    """A bank to train, and what is known of its cells beforehand: their metadata.

    `checkpoint` is the name of its unfinished state in the cell store.
    """

    job: Job
    bank: Bank
    described: dict[Cell, dict[str, Any]]
    checkpoint: str


def train(task: Task, report: Report) -> float:
    """Train a bank, write its cells and store them; their mean validation accuracy."""
    data = load_dataset(task.job.data).to(task.job.device)
    accuracies = _train(task, data, report)
    return sum(accuracies) / len(accuracies)


def _train(task: Task, data: Dataset, report: Report, width: int | None = None) -> list[float]:
    """The same; in halves, where a GPU's memory is too small for the bank."""
    job, bank = task.job, task.bank
    objective = Objective(job.experiment, job.params.robustness, job.params.vae)
    checkpoint = job.store.checkpoint(task.checkpoint)
    width = width or most_cells(job.experiment, job.device)
    trained = None
    try:
        trained = train_bank(bank, objective, _initial(job, data), data, report, checkpoint, width)
    except torch.OutOfMemoryError as error:
        if width == 1:
            raise PipelineError(
                f"{bank[0]} does not fit into the memory of {job.device}: lower "
                f"experiments.{job.name}.batch_size in params.yaml, or set device: cpu"
            ) from error
    if trained is None:  # the error's frames are gone by now, and the tensors in them
        width //= 2
        halves = (("a", bank[:width]), ("b", bank[width:]))
        tasks = [
            replace(task, bank=b, checkpoint=task.checkpoint + name) for name, b in halves if b
        ]
        return [accuracy for half in tasks for accuracy in _train(half, data, report, width)]
    for result in trained:
        path, described = result.cell.path(job.models), task.described[result.cell]
        found = {
            "step": result.step,
            "valid_accuracy": result.valid_accuracy,
            "curve": result.curve,
        }
        save_weights(path, result.weights, described | found)
        job.store.keep(described["fingerprint"], path)
    checkpoint.remove()
    job.store.shrink()
    return [result.valid_accuracy for result in trained]


def files_for(job: Job) -> dict[str, bytes]:
    """All that training reads, for `train_away`: contents by name."""
    files = {f"data/{FILE_NAME}": (job.data / FILE_NAME).read_bytes()}
    if job.pretrained:
        files |= {f"vae/{job.vae(s).name}": job.vae(s).read_bytes() for s in job.params.seeds}
    return files


def train_away(
    task: Task, files: dict[str, bytes], report: Report
) -> tuple[float, dict[Cell, bytes]]:
    """Train a bank where none of our files are; what `train` returns, and the cells' files.

    Checkpoints are kept in the cell store of the machine this runs on.
    """
    with TemporaryDirectory(prefix="senn-") as name:
        folder = Path(name)
        for file, content in files.items():
            (folder / file).parent.mkdir(exist_ok=True)
            (folder / file).write_bytes(content)
        here = replace(
            task.job,
            device=torch.device(task.job.device.type),  # a GPU's number is the other machine's
            data=folder / "data",
            vaes=folder / "vae",
            models=folder / "models",
            store=CellStore.from_environment() if task.job.store.folder else task.job.store,
        )
        with one_thread():
            accuracy = train(replace(task, job=here), report)
        return accuracy, {cell: cell.path(here.models).read_bytes() for cell in task.described}


def _initial(job: Job, data: Dataset) -> Callable[[int], Senn]:
    """``initial(seed)``: the model to start from, made once a seed and not to be changed."""
    inputs = Inputs(data.input_shape, data.mean, data.std)

    @cache
    def initial(seed: int) -> Senn:
        senn = build_senn(job.name, job.experiment, job.params.vae, inputs, seed)
        if job.pretrained:
            _load_pretrained(senn, job.vae(seed))
        return senn

    return initial


def _load_pretrained(senn: Senn, path: Path) -> None:
    weights, _ = load_weights(path)
    try:
        senn.conceptizer.load_state_dict(weights)
    except RuntimeError as error:
        raise PipelineError(
            f"{path} holds another β-VAE than section vae of params.yaml describes. "
            "`dvc repro` pretrains that one."
        ) from error
