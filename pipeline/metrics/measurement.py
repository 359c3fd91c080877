"""Trained models are measured side by side, and none twice."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from rich.console import Console
from rich.progress import Progress

from pipeline.core.cells import Cell
from pipeline.core.dataset import file_of
from pipeline.core.files import digest_of
from pipeline.core.fingerprint import (
    COMPUTING_CODE,
    digest_of_code,
    environment,
    files_of,
    fingerprint,
)
from pipeline.core.inputs import File
from pipeline.core.params import Compute
from pipeline.core.run import Run
from pipeline.core.tasks import run_tasks
from pipeline.core.workers import Work

Task = TypeVar("Task")
Result = TypeVar("Result")

# What measures a cell, and what scores a method on it: every line counts.
EVALUATING = (
    *COMPUTING_CODE,
    "explanations/method.py",
    "explanations/senn.py",
    "metrics/**/*.py",
    "training/robustness.py",
)
EXPLAINING = (*EVALUATING, "explanations/**/*.py")


def with_progress(
    title: str,
    work: Work[Task, Result],
    tasks: Sequence[Task],
    device: torch.device,
    compute: Compute,
) -> Iterator[tuple[int, Result]]:
    """`run_tasks`, with a progress bar on a terminal."""
    console = Console()
    with Progress(console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task(title, total=len(tasks))
        for done in run_tasks(work, tasks, device, compute):
            progress.advance(bar)
            yield done


class Measurement(NamedTuple):
    """Something that is measured of trained models, and how the cell store keeps it.

    Attributes
    ----------
    title : str
        Of the progress bar.
    work : callable
        Measures one: ``work((cell, data, task), report)``, with two files; runs in a worker.
    code : sequence of str
        The files that measure, such as `EVALUATING`.
    save, load : callable
        Make of a result what JSON can hold, and of that the result again.
    """

    title: str
    work: Work[tuple[File, File, Any], Any]
    code: Sequence[str]
    save: Callable[[Any], Any]
    load: Callable[[Any], Any]


class Subject(NamedTuple):
    """One model to measure: its file, and the folder of the data set it was trained on.

    `protocol`, of JSON values, is all that the result follows from besides the model, the data and
    the code; `task` is what `Measurement.work` needs to know.
    """

    cell: Path
    data: Path
    protocol: dict[str, Any]
    task: Any = None

    @classmethod
    def of(cls, run: Run, cell: Cell, protocol: dict[str, Any], task: Any = None) -> "Subject":
        """`cell` of `run`."""
        name = cell.experiment
        return cls(cell.path(run.models_of(name)), run.data_of(name), protocol, task)


def measure_models(
    run: Run,
    measurement: Measurement,
    subjects: Sequence[Subject],
    line: Callable[[int, Any], str] | None = None,
) -> list[Any]:
    """Results in the order of `subjects`, those that the store has from there.

    With a progress bar; ``line(index, result)`` says a result in words, printed as it comes,
    and all that a log file gets.

    Raises
    ------
    PipelineError
        If the data or a cell is missing or damaged.
    """
    keys = _keys(run, measurement, subjects)
    results = {
        index: measurement.load(value)
        for index, key in enumerate(keys)
        if (value := run.store.measured(key)) is not None
    }
    if results:
        print(
            f"{measurement.title}: {len(results)} of {len(subjects)} results reused from the "
            "cell store"
        )
    new = [index for index in range(len(subjects)) if index not in results]
    data = {subject.data: file_of(subject.data) for subject in subjects}
    tasks = [(File(cell), data[folder], task) for cell, folder, _, task in subjects]
    todo, compute = [tasks[index] for index in new], run.params.compute
    done = with_progress(measurement.title, measurement.work, todo, run.device, compute)
    for place, result in done:
        index = new[place]
        if line is not None:
            print(line(index, result), flush=True)
        saved = measurement.save(result)
        run.store.keep_measured(keys[index], saved)
        results[index] = measurement.load(saved)  # as it comes from the store
    if new:
        run.store.shrink()
    return [results[index] for index in range(len(subjects))]


def _keys(run: Run, measurement: Measurement, subjects: Sequence[Subject]) -> list[str]:
    """A fingerprint for each of all that its result follows from."""
    common = environment(run.device, digest_of_code(files_of(measurement.code)))
    files = {cell for cell, *_ in subjects} | {file_of(data).path for _, data, *_ in subjects}
    digests = {file: digest_of(file) for file in files}
    return [
        fingerprint(
            {"cell": digests[cell], **protocol, "data": digests[file_of(data).path], **common}
        )
        for cell, data, protocol, _ in subjects
    ]
