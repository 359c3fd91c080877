"""Train an experiment's whole grid: pack cells into banks, run the banks, write every cell."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from pipeline.data.dataset import Dataset, load_dataset
from pipeline.errors import PipelineError
from pipeline.files import sha256_of
from pipeline.models.building import Inputs, build_senn
from pipeline.models.senn import Senn
from pipeline.params import Experiment, Params
from pipeline.training.bank import Bank, TrainedCell, bank_shape, pack, train_bank
from pipeline.training.cells import Cell, grid, load_weights, save_weights
from pipeline.training.device import device_kind
from pipeline.training.fingerprint import code_digest, fingerprint
from pipeline.training.objectives import Objective
from pipeline.training.progress import TrainingProgress
from pipeline.training.store import CellStore
from pipeline.training.workers import Report, run_side_by_side


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


def train_grid(job: Job) -> pd.DataFrame:
    """Train all cells of the experiment, write ``<models>/<experiment>/…``, return their curves.

    Cells that the store has are taken from there.

    Returns
    -------
    One row per cell and validation: experiment, robust_reg, seed, step, epoch, train_total,
    train_classification, train_robustness, train_concept, valid_classification, valid_accuracy.

    Raises
    ------
    PipelineError
        If the data or the pretrained weights do not fit the params, or a loss is not finite.
    """
    cells = grid(job.params, job.name)
    data = load_dataset(job.data)
    _check_classes(job, data)
    prints = {cell: _fingerprint(job, data, cell) for cell in cells}
    new = [c for c in cells if not job.store.fetch(prints[c], c.path(job.models))]
    if len(new) < len(cells):
        print(
            f"{job.name}: {len(cells) - len(new)} of {len(cells)} cells reused from the cell store"
        )
    banks = pack(new, bank_shape(job.experiment, job.device))
    tasks = [(job, bank) for bank in banks]
    title = f"{job.name}: {len(new)} cells in {len(banks)} banks"
    with TrainingProgress(title, len(banks), job.experiment.epochs, "valid accuracy") as progress:
        done = run_side_by_side(_train, tasks, job.device, progress.epoch)
        for count, (_, accuracy) in enumerate(done, start=1):
            progress.finished(f"bank {count}/{len(banks)} done, valid accuracy {accuracy:.3f}")
    return pd.concat([_curve(job, cell) for cell in cells], ignore_index=True)


def _train(task: tuple[Job, Bank], report: Report) -> float:
    """Train one bank and write its cells; their mean validation accuracy. Runs in a worker."""
    job, bank = task
    experiment, params = job.experiment, job.params
    data = load_dataset(job.data)
    inputs = Inputs(data.input_shape, data.mean, data.std)

    def initial(seed: int) -> Senn:
        senn = build_senn(job.name, experiment, params.vae, inputs, seed)
        if experiment.initial_weights == "models/vae":
            _load_pretrained(senn, _vae_path(job, seed))
        return senn

    prints = {cell: _fingerprint(job, data, cell) for row in bank for cell in row}
    name = hashlib.sha256("".join(prints[c] for row in bank for c in row).encode()).hexdigest()
    objective = Objective(experiment, params.robustness, params.vae)
    checkpoint = job.store.checkpoint(name)
    trained = train_bank(bank, objective, initial, data.to(job.device), report, checkpoint)
    for result in trained:
        path = result.cell.path(job.models)
        save_weights(path, result.weights, _metadata(job, data, result))
        job.store.keep(prints[result.cell], path)
    return sum(result.valid_accuracy for result in trained) / len(trained)


def _curve(job: Job, cell: Cell) -> pd.DataFrame:
    _, metadata = load_weights(cell.path(job.models))
    curve = pd.DataFrame(metadata["curve"])
    for place, key in enumerate(("experiment", "robust_reg", "seed")):
        curve.insert(place, key, getattr(cell, key))
    return curve


def _metadata(job: Job, data: Dataset, result: TrainedCell) -> dict[str, Any]:
    return {
        **_determinants(job, data, result.cell),
        "input_shape": list(data.input_shape),
        "mean": data.mean,
        "std": data.std,
        "fingerprint": _fingerprint(job, data, result.cell),
        "code": code_digest(),
        "torch": torch.__version__,
        "device": device_kind(job.device),
        "step": result.step,
        "valid_accuracy": result.valid_accuracy,
        "curve": result.curve,
    }


def _fingerprint(job: Job, data: Dataset, cell: Cell) -> str:
    return fingerprint(job.device, **_determinants(job, data, cell))


def _determinants(job: Job, data: Dataset, cell: Cell) -> dict[str, Any]:
    """All that a cell's weights follow from, besides code, torch and the device kind."""
    experiment = job.experiment
    pretrained = experiment.initial_weights == "models/vae"
    has_vae = experiment.model_class == "DiSENN"
    return {
        "experiment": job.name,
        "robust_reg": cell.robust_reg,
        "seed": cell.seed,
        "params": {
            "experiment": experiment.model_dump(mode="json", exclude={"lambda_grid"}),
            "robustness": job.params.robustness.model_dump(mode="json"),
            "vae": job.params.vae.model_dump(mode="json") if has_vae else None,
        },
        "data": data.digest,
        "initial_weights": _digest_of(_vae_path(job, cell.seed)) if pretrained else "seeded",
    }


def _vae_path(job: Job, seed: int) -> Path:
    return job.vaes / f"seed={seed}.safetensors"


def _digest_of(pretrained: Path) -> str:
    try:
        return sha256_of(pretrained)
    except OSError as error:
        raise PipelineError(
            f"cannot read {pretrained}: {error.strerror}. "
            "`dvc repro` runs the stage that writes it."
        ) from error


def _load_pretrained(senn: Senn, path: Path) -> None:
    weights, _ = load_weights(path)
    try:
        senn.conceptizer.load_state_dict(weights)
    except RuntimeError as error:
        raise PipelineError(
            f"{path} holds another β-VAE than section vae of params.yaml describes. "
            "`dvc repro` pretrains that one."
        ) from error


def _check_classes(job: Job, data: Dataset) -> None:
    classes = len(data.class_names)
    if job.experiment.num_classes != classes:
        raise PipelineError(
            f"params.yaml: experiments.{job.name}.num_classes: must be {classes}, the classes of "
            f"{data.name}, got {job.experiment.num_classes}"
        )
