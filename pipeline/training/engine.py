"""Train an experiment's whole grid: pack cells into banks, run the banks, write every cell."""

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
from pipeline.training.workers import Report, run_side_by_side

Curves = list[dict[str, Any]]


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

    @property
    def experiment(self) -> Experiment:
        """The experiment's section of the params."""
        return self.params.experiment(self.name)


def train_grid(job: Job) -> pd.DataFrame:
    """Train all cells of the experiment, write ``<models>/<experiment>/…``, return their curves.

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
    banks = pack(cells, bank_shape(job.experiment, job.device))
    tasks = [(job, bank) for bank in banks]
    curves: dict[int, Curves] = {}
    title = f"{job.name}: {len(cells)} cells in {len(banks)} banks"
    with TrainingProgress(title, len(banks), job.experiment.epochs, "valid accuracy") as progress:
        for index, rows in run_side_by_side(_train, tasks, job.device, progress.epoch):
            curves[index] = rows
            accuracy = max(row["valid_accuracy"] for row in rows)
            progress.finished(f"bank {len(curves)}/{len(banks)} done, best cell {accuracy:.3f}")
    return pd.DataFrame([row for index in sorted(curves) for row in curves[index]])


def _train(task: tuple[Job, Bank], report: Report) -> Curves:
    """Train one bank, write its cells, return their curves; runs in a worker."""
    job, bank = task
    experiment, params = job.experiment, job.params
    data = load_dataset(job.data)
    _check_classes(job, data)
    inputs = Inputs(data.input_shape, data.mean, data.std)

    def initial(seed: int) -> Senn:
        senn = build_senn(job.name, experiment, params.vae, inputs, seed)
        if experiment.initial_weights == "models/vae":
            weights, _ = load_weights(_vae_path(job, seed))
            senn.conceptizer.load_state_dict(weights)
        return senn

    objective = Objective(experiment, params.robustness, params.vae)
    trained = train_bank(bank, objective, initial, data.to(job.device), report)
    for result in trained:
        path = result.cell.path(job.models)
        save_weights(path, result.weights, _metadata(job, data, result))
    return [
        {"experiment": job.name, "robust_reg": r.cell.robust_reg, "seed": r.cell.seed, **row}
        for r in trained
        for row in r.curve
    ]


def _metadata(job: Job, data: Dataset, result: TrainedCell) -> dict[str, Any]:
    determinants = cell_determinants(job, data, result.cell)
    return {
        **determinants,
        "input_shape": list(data.input_shape),
        "mean": data.mean,
        "std": data.std,
        "fingerprint": fingerprint(job.device, **determinants),
        "code": code_digest(),
        "torch": torch.__version__,
        "device": device_kind(job.device),
        "step": result.step,
        "valid_accuracy": result.valid_accuracy,
    }


def cell_determinants(job: Job, data: Dataset, cell: Cell) -> dict[str, Any]:
    """All that a cell's weights follow from, besides code, torch and the device kind."""
    experiment = job.experiment
    pretrained = experiment.initial_weights == "models/vae"
    return {
        "experiment": job.name,
        "robust_reg": cell.robust_reg,
        "seed": cell.seed,
        "params": {
            "experiment": experiment.model_dump(mode="json", exclude={"lambda_grid"}),
            "robustness": job.params.robustness.model_dump(mode="json"),
            "vae": job.params.vae.model_dump(mode="json") if pretrained else None,
        },
        "data": data.digest,
        "initial_weights": sha256_of(_vae_path(job, cell.seed)) if pretrained else "seeded",
    }


def _vae_path(job: Job, seed: int) -> Path:
    return job.vaes / f"seed={seed}.safetensors"


def _check_classes(job: Job, data: Dataset) -> None:
    classes = len(data.class_names)
    if job.experiment.num_classes != classes:
        raise PipelineError(
            f"params.yaml: experiments.{job.name}.num_classes: must be {classes}, the classes of "
            f"{data.name}, got {job.experiment.num_classes}"
        )
