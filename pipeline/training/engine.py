"""Train whole grids: pack cells into banks, have them trained side by side, gather every cell."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache, partial
from typing import Any

import pandas as pd

from pipeline.core.cells import Cell
from pipeline.core.dataset import Dataset, read_dataset
from pipeline.core.files import File, write_bytes
from pipeline.core.fingerprint import fingerprint, provenance
from pipeline.core.params_choices import VARIANTS
from pipeline.core.processes import cores
from pipeline.core.tasks import run_tasks
from pipeline.core.tensors import read_tensors
from pipeline.training.bank import Bank, pack
from pipeline.training.progress import TrainingProgress
from pipeline.training.task import Job, Task, train


def train_grids(jobs: Sequence[Job]) -> list[pd.DataFrame]:
    """Train all cells of every job, write ``<models>/<experiment>/…``, return their curves.

    Cells that the store has are taken from there.

    Parameters
    ----------
    jobs : at least one; all for the same device, with the same section `compute`.

    Returns
    -------
    For each job one row per cell and validation: experiment, robust_reg, seed, step, epoch,
    train_total, train_classification, train_robustness, train_concept, valid_classification,
    valid_accuracy.

    Raises
    ------
    PipelineError
        If the data or the pretrained weights do not fit the params, or a loss is not finite; if
        workers are killed, or the cluster cannot be used.
    """
    read = cache(read_dataset)
    tasks = [task for index, job in enumerate(jobs) for task in _tasks(index, job, read(job.data))]
    work = partial(train, jobs, {file.path: file for job in jobs for file in job.files()})
    device, compute = jobs[0].run.device, jobs[0].run.params.compute
    entry = jobs[0].run.params.entry_of(jobs[0].name)
    title = f"{entry}: {sum(len(task.bank) for task in tasks)} cells in {len(tasks)} banks"
    epochs = [jobs[task.job].experiment.epochs for task in tasks]
    with TrainingProgress(title, epochs, "valid accuracy") as progress:
        done = run_tasks(work, tasks, device, compute, progress.epoch)
        for count, (index, (accuracy, files)) in enumerate(done, start=1):
            job = jobs[tasks[index].job]
            _take(job, tasks[index], files)
            whose = f" of {job}" if len(jobs) > 1 else ""
            what = f"bank {count}/{len(tasks)}{whose} done, valid accuracy {accuracy:.3f}"
            progress.say(what)
    return [_curves(job) for job in jobs]


def _tasks(index: int, job: Job, data: Dataset) -> list[Task]:
    """The banks of the job at `index`, of those cells that the store does not have."""
    cells = job.grid()
    described = _describe(job, data, cells)
    workers = cores() if job.run.device.type == "cpu" else 1
    banks = pack(cells, job.experiment, job.run.params.robustness, job.run.device, workers)
    tasks = [task for bank in banks if (task := _task(index, job, bank, described)).bank]
    reused = len(cells) - sum(len(task.bank) for task in tasks)
    if reused:
        print(f"{job}: {reused} of {len(cells)} cells reused from the cell store")
    return tasks


def _task(index: int, job: Job, bank: Bank, described: dict[Cell, dict[str, Any]]) -> Task:
    """To train those cells of `bank` that the store does not have; the others are fetched.

    The checkpoint is the whole bank's, so that one killed between its first cell's and its last
    one's storing goes on from it, too.
    """
    prints = {cell: described[cell]["fingerprint"] for cell in bank}
    new = [c for c in bank if not job.run.store.fetch(prints[c], c.path(job.models))]
    name = fingerprint(list(prints.values()))
    if not new:
        job.run.store.checkpoint(name).remove()
    return Task(index, new, {cell: described[cell] for cell in bank}, name)


def _take(job: Job, task: Task, files: Mapping[Cell, bytes]) -> None:
    """Write the files of a bank's cells, and store those that a node has stored elsewhere."""
    is_new = False
    for cell, content in files.items():
        write_bytes(cell.path(job.models), content)
        is_new |= job.run.store.keep(task.described[cell]["fingerprint"], content)
    if is_new:
        job.run.store.shrink()


def _curves(job: Job) -> pd.DataFrame:
    curves = {cell: read_tensors(cell.path(job.models))[1]["curve"] for cell in job.grid()}
    rows = [{**asdict(cell), **row} for cell, curve in curves.items() for row in curve]
    return pd.DataFrame(rows)


def _describe(job: Job, data: Dataset, cells: Sequence[Cell]) -> dict[Cell, dict[str, Any]]:
    """All that each cell's weights follow from, and its fingerprint: their metadata."""
    common = {
        "params": {
            "experiment": job.experiment.model_dump(
                mode="json", exclude={"lambda_grid", "seeds", "entry"}
            ),
            "robustness": job.run.params.robustness.model_dump(mode="json"),
            "vae": job.run.params.vae.model_dump(mode="json") if job.pretrained else None,
        },
        "built_by": [
            job.experiment.conceptizer.built_by,
            job.experiment.parameterizer.built_by,
            VARIANTS[job.run.params.robustness.variant],
        ],
        "jittered": job.jittered,
        **provenance(data, job.run.device),
    }
    starts = {seed: _start(job, seed) for seed in job.run.params.seeds_of(job.name)}
    described = {}
    for cell in cells:
        description = {**asdict(cell), "initial_weights": starts[cell.seed], **common}
        described[cell] = {**description, "fingerprint": fingerprint(description)}
    return described


def _start(job: Job, seed: int) -> str:
    """What identifies the weights that a seed's training starts from."""
    return File(job.run.vae(seed)).digest() if job.pretrained else "seeded"
