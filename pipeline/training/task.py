"""Train one bank, from prepared data to the files of its cells: what a worker does."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

from pipeline.core.cells import Cell, grid
from pipeline.core.dataset import Dataset, file_of, read_dataset
from pipeline.core.errors import PipelineError
from pipeline.core.files import File
from pipeline.core.fingerprint import fingerprint
from pipeline.core.params import Experiment
from pipeline.core.run import Run
from pipeline.core.tensors import read_tensors, to_bytes
from pipeline.core.workers import Report
from pipeline.models.building import Inputs, build_senn
from pipeline.models.senn import Senn
from pipeline.training.bank import Bank, most_cells, train_bank
from pipeline.training.objectives import Objective
from pipeline.training.randomness import jitter


@dataclass(frozen=True)
class Job:
    """The grid of experiment `name` in a run, to be trained.

    `jittered`: from initial weights moved by a rounding error. `label` tells the job from others of
    the same experiment.
    """

    run: Run
    name: str
    jittered: bool = False
    label: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.label})" if self.label else self.name

    @property
    def experiment(self) -> Experiment:
        """The experiment's section of the params."""
        return self.run.params.experiment(self.name)

    @property
    def data(self) -> File:
        """The prepared data set."""
        return file_of(self.run.data_of(self.name))

    @property
    def models(self) -> Path:
        """The folder to write cells into."""
        return self.run.models_of(self.name)

    @property
    def pretrained(self) -> bool:
        """Whether training starts from the β-VAEs, as every DiSENN's and no SENN's does."""
        return self.experiment.initial_weights == "models/vae"

    def grid(self) -> list[Cell]:
        """All cells."""
        return grid(self.run.params, self.name)

    def files(self) -> list[File]:
        """All that training reads: the data, and the β-VAEs that it starts from."""
        seeds = self.run.params.seeds_of(self.name) if self.pretrained else ()
        return [self.data, *(File(self.run.vae(seed)) for seed in seeds)]


@dataclass(frozen=True)
class Task:
    """A bank to train, as far as its cells are not in the store.

    `job` is the index of its job; `described` has what is known of all its cells beforehand, their
    metadata; `checkpoint` is the name of its unfinished state in the cell store.
    """

    job: int
    bank: Bank
    described: dict[Cell, dict[str, Any]]
    checkpoint: str


def train(
    jobs: Sequence[Job], files: Mapping[Path, File], task: Task, report: Report
) -> tuple[float, dict[Cell, bytes]]:
    """Train a bank and store its cells; their mean validation accuracy, and their files.

    `files` has those of all jobs, by path.
    """
    job = jobs[task.job]
    data = read_dataset(files[job.data.path]).to(job.run.device)
    trained = _train(job, task, data, _initial(job, data, files), report)
    job.run.store.shrink()
    accuracies = [accuracy for accuracy, _ in trained.values()]
    content = {cell: content for cell, (_, content) in trained.items()}
    return sum(accuracies) / len(accuracies), content


def _train(
    job: Job,
    task: Task,
    data: Dataset,
    initial: Callable[[int], Senn],
    report: Report,
    width: int | None = None,
) -> dict[Cell, tuple[float, bytes]]:
    """Validation accuracy and file of every cell.

    In halves, where a GPU's memory is too small for the bank. If a run is killed in one of them,
    the next makes the same halves, with the same names of checkpoints.
    """
    bank = task.bank
    objective = Objective(job.experiment, job.run.params.robustness, job.run.params.vae)
    checkpoint = job.run.store.checkpoint(task.checkpoint)
    width = width or most_cells(job.experiment, job.run.params.robustness, job.run.device)
    trained = None
    try:
        trained = train_bank(bank, objective, initial, data, report, checkpoint, width)
    except torch.OutOfMemoryError as error:
        if width == 1:
            raise PipelineError(
                f"{bank[0]} does not fit into the memory of {job.run.device}: lower "
                f"{job.experiment.key(job.name)}.batch_size in params.yaml, or set device: cpu"
            ) from error
    if trained is None:  # the error's frames are gone by now, and the tensors in them
        checkpoint.remove()  # of epochs that halves begin again with
        width //= 2
        done = [_train(job, half, data, initial, report, width) for half in _halves(task, width)]
        return {cell: outcome for half in done for cell, outcome in half.items()}
    files = {}
    for result in trained:
        described = task.described[result.cell]
        outcome = {
            "step": result.step,
            "valid_accuracy": result.valid_accuracy,
            "curve": result.curve,
        }
        content = to_bytes(result.weights, described | outcome)
        job.run.store.keep(described["fingerprint"], content)
        files[result.cell] = result.valid_accuracy, content
    checkpoint.remove()
    return files


def _halves(task: Task, width: int) -> list[Task]:
    """The first `width` cells of the bank, and the others, as far as there are some to train."""
    cells, halves = list(task.described), []
    for name, half in (("a", cells[:width]), ("b", cells[width:])):
        described = {cell: task.described[cell] for cell in half}
        bank = [cell for cell in task.bank if cell in described]
        checkpoint = fingerprint([task.checkpoint, name])
        halves.append(Task(task.job, bank, described, checkpoint))
    return [half for half in halves if half.bank]


def _initial(job: Job, data: Dataset, files: Mapping[Path, File]) -> Callable[[int], Senn]:
    """``initial(seed)``: the model to start from, made once a seed and not to be changed."""
    inputs = Inputs(data.input_shape, data.mean, data.std)

    @cache
    def initial(seed: int) -> Senn:
        senn = build_senn(job.name, job.experiment, job.run.params.vae, inputs, seed)
        if job.pretrained:
            _load_pretrained(senn, files[job.run.vae(seed)])
        if job.jittered:
            jitter(senn, seed)
        return senn

    return initial


def _load_pretrained(senn: Senn, file: File) -> None:
    weights, _ = read_tensors(file)
    try:
        senn.conceptizer.load_state_dict(weights)
    except RuntimeError as error:
        raise PipelineError(
            f"{file} holds another β-VAE than section vae of params.yaml describes. "
            "`dvc repro` pretrains that one."
        ) from error
