"""Train an experiment's whole grid: pack cells into banks, have them trained, gather every cell.

Banks are trained here, or by the nodes of a Ray cluster: `train.engine` in params.yaml.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd

from pipeline.core.dataset import Dataset, load_dataset
from pipeline.core.device import cores
from pipeline.core.files import atomic_path, digest_of
from pipeline.core.fingerprint import fingerprint
from pipeline.core.params_choices import VARIANTS
from pipeline.core.workers import run_side_by_side
from pipeline.models.cells import Cell, grid, load_weights
from pipeline.training.bank import Bank, pack
from pipeline.training.cluster import run_on_cluster
from pipeline.training.fingerprint import provenance
from pipeline.training.progress import TrainingProgress
from pipeline.training.task import Job, Task, files_for, train, train_away


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
        If the data or the pretrained weights do not fit the params, or a loss is not finite; if
        workers are killed, or the cluster cannot be used.
    """
    cells = grid(job.params, job.name)
    data = load_dataset(job.data)
    described = _describe(job, data, cells)
    is_shared = job.device.type == "cpu" and job.params.train.engine == "local"
    workers = cores() if is_shared else 1
    banks = pack(cells, job.experiment, job.params.robustness, job.device, workers)
    tasks = [task for bank in banks if (task := _task(job, bank, described)).bank]
    new = sum(len(task.bank) for task in tasks)
    if new < len(cells):
        print(f"{job.name}: {len(cells) - new} of {len(cells)} cells reused from the cell store")
    title = f"{job.name}: {new} cells in {len(tasks)} banks"
    with TrainingProgress(title, len(tasks), job.experiment.epochs, "valid accuracy") as progress:
        done = _train_all(job, tasks, progress.epoch)
        for count, accuracy in enumerate(done, start=1):
            progress.finished(f"bank {count}/{len(tasks)} done, valid accuracy {accuracy:.3f}")
    return pd.concat([_curve(job, cell) for cell in cells], ignore_index=True)


def _task(job: Job, bank: Bank, described: dict[Cell, dict[str, Any]]) -> Task:
    """To train those cells of `bank` that the store does not have; the others are fetched.

    The checkpoint is the whole bank's, so that one killed between its first cell's and its last
    one's storing goes on from it, too.
    """
    prints = {cell: described[cell]["fingerprint"] for cell in bank}
    new = [c for c in bank if not job.store.fetch(prints[c], c.path(job.models))]
    name = fingerprint(list(prints.values()))
    if not new:
        job.store.checkpoint(name).remove()
    return Task(job, new, {cell: described[cell] for cell in new}, name)


def _train_all(
    job: Job, tasks: Sequence[Task], report: Callable[[int, int, float], None]
) -> Iterator[float]:
    """Have every bank trained; as each is done and in place, its mean validation accuracy."""
    if job.params.train.engine == "local":
        for _, accuracy in run_side_by_side(train, tasks, job.device, report):
            yield accuracy
    elif tasks:
        reserved, files = job.params.train.cores_per_bank, files_for(job)
        done = run_on_cluster(train_away, tasks, files, job.device, reserved, report)
        for index, (accuracy, cells) in done:
            for cell, content in cells.items():
                path = cell.path(job.models)
                with atomic_path(path) as temporary:
                    temporary.write_bytes(content)
                job.store.keep(tasks[index].described[cell]["fingerprint"], path)
            job.store.shrink()  # as `train` does here
            yield accuracy


def _curve(job: Job, cell: Cell) -> pd.DataFrame:
    _, metadata = load_weights(cell.path(job.models))
    curve = pd.DataFrame(metadata["curve"])
    for place, key in enumerate(("experiment", "robust_reg", "seed")):
        curve.insert(place, key, getattr(cell, key))
    return curve


def _describe(job: Job, data: Dataset, cells: Sequence[Cell]) -> dict[Cell, dict[str, Any]]:
    """All that each cell's weights follow from, and its fingerprint: their metadata."""
    common = {
        "params": {
            "experiment": job.experiment.model_dump(mode="json", exclude={"lambda_grid"}),
            "robustness": job.params.robustness.model_dump(mode="json"),
            "vae": job.params.vae.model_dump(mode="json") if job.pretrained else None,
        },
        "built_by": [
            job.experiment.conceptizer.built_by,
            job.experiment.parameterizer.built_by,
            VARIANTS[job.params.robustness.variant],
        ],
        **provenance(data, job.device),
    }
    starts = {seed: _start(job, seed) for seed in job.params.seeds}
    described = {}
    for cell in cells:
        own = {**asdict(cell), "initial_weights": starts[cell.seed], **common}
        described[cell] = {**own, "fingerprint": fingerprint(own)}
    return described


def _start(job: Job, seed: int) -> str:
    """What identifies the weights that a seed's training starts from."""
    return digest_of(job.vae(seed)) if job.pretrained else "seeded"
