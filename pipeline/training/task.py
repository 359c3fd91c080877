"""Train one bank, from prepared data to the files of its cells: what a worker does."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch

from pipeline.core.dataset import Dataset, read_dataset
from pipeline.core.errors import PipelineError
from pipeline.core.inputs import File
from pipeline.core.params import Experiment, Params
from pipeline.core.store import CellStore
from pipeline.core.workers import Report
from pipeline.models.building import Inputs, build_senn
from pipeline.models.cells import Cell, load_weights, weights_file
from pipeline.models.senn import Senn
from pipeline.training.bank import Bank, most_cells, train_bank
from pipeline.training.jitter import jitter
from pipeline.training.objectives import Objective


@dataclass(frozen=True)
class Job:
    """What is needed to train any bank of an experiment.

    `data` is the folder of the prepared data set, `vaes` that of the pretrained β-VAEs, `models`
    the one to write cells into. `jittered`: from initial weights moved by a rounding error.
    """

    params: Params
    name: str
    device: torch.device
    data: Path
    vaes: Path
    models: Path
    store: CellStore
    jittered: bool = False

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

    def pretrained_files(self) -> dict[int, File]:
        """The files of the β-VAEs that training starts from, by seed."""
        seeds = self.params.seeds_of(self.name) if self.pretrained else ()
        return {seed: File(self.vae(seed)) for seed in seeds}


@dataclass(frozen=True)
class Task:
    """A bank to train, and what is known of its cells beforehand: their metadata.

    `checkpoint` is the name of its unfinished state in the cell store.
    """

    bank: Bank
    described: dict[Cell, dict[str, Any]]
    checkpoint: str


def train(
    job: Job, data: File, vaes: Mapping[int, File], task: Task, report: Report
) -> tuple[float, dict[Cell, bytes]]:
    """Train a bank and store its cells; their mean validation accuracy, and their files.

    Parameters
    ----------
    data : the prepared data set.
    vaes : the β-VAE of every seed, where training starts from them.
    """
    dataset = read_dataset(data).to(job.device)
    trained = _train(job, task, dataset, _initial(job, dataset, vaes), report)
    job.store.shrink()
    accuracies = [accuracy for accuracy, _ in trained.values()]
    files = {cell: content for cell, (_, content) in trained.items()}
    return sum(accuracies) / len(accuracies), files


def _train(
    job: Job,
    task: Task,
    data: Dataset,
    initial: Callable[[int], Senn],
    report: Report,
    width: int | None = None,
) -> dict[Cell, tuple[float, bytes]]:
    """Validation accuracy and file of every cell.

    In halves, where a GPU's memory is too small for the bank.
    """
    bank = task.bank
    objective = Objective(job.experiment, job.params.robustness, job.params.vae)
    checkpoint = job.store.checkpoint(task.checkpoint)
    width = width or most_cells(job.experiment, job.device)
    trained = None
    try:
        trained = train_bank(bank, objective, initial, data, report, checkpoint, width)
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
        done = [_train(job, half, data, initial, report, width) for half in tasks]
        return {cell: outcome for half in done for cell, outcome in half.items()}
    files = {}
    for result in trained:
        described = task.described[result.cell]
        outcome = {
            "step": result.step,
            "valid_accuracy": result.valid_accuracy,
            "curve": result.curve,
        }
        content = weights_file(result.weights, described | outcome)
        job.store.keep(described["fingerprint"], content)
        files[result.cell] = result.valid_accuracy, content
    checkpoint.remove()
    return files


def _initial(job: Job, data: Dataset, vaes: Mapping[int, File]) -> Callable[[int], Senn]:
    """``initial(seed)``: the model to start from, made once a seed and not to be changed."""
    inputs = Inputs(data.input_shape, data.mean, data.std)

    @cache
    def initial(seed: int) -> Senn:
        senn = build_senn(job.name, job.experiment, job.params.vae, inputs, seed)
        if job.pretrained:
            _load_pretrained(senn, vaes[seed])
        if job.jittered:
            jitter(senn, seed)
        return senn

    return initial


def _load_pretrained(senn: Senn, file: File) -> None:
    weights, _ = load_weights(file)
    try:
        senn.conceptizer.load_state_dict(weights)
    except RuntimeError as error:
        raise PipelineError(
            f"{file} holds another β-VAE than section vae of params.yaml describes. "
            "`dvc repro` pretrains that one."
        ) from error
