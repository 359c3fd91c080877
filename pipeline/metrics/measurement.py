"""Trained models are measured side by side, and none twice."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from itertools import groupby, starmap
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from rich.console import Console
from rich.progress import Progress
from torch import Tensor

from pipeline.core.cells import Cell
from pipeline.core.dataset import Dataset, Split, file_of, read_dataset
from pipeline.core.files import File
from pipeline.core.fingerprint import (
    COMPUTING_CODE,
    digest_of_code,
    environment,
    files_of,
    fingerprint,
)
from pipeline.core.params import Compute
from pipeline.core.run import Run
from pipeline.core.tasks import run_tasks
from pipeline.core.workers import Report, Work

Task = TypeVar("Task")
Result = TypeVar("Result")
Gathered = TypeVar("Gathered")

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
    sizes: Sequence[int] = (),
) -> Iterator[tuple[int, Result]]:
    """`run_tasks`, with a progress bar on a terminal; `sizes` of the tasks, by default 1."""
    sizes = sizes or [1] * len(tasks)
    console = Console()
    with Progress(console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task(title, total=sum(sizes))
        for index, result in run_tasks(work, tasks, device, compute):
            progress.advance(bar, sizes[index])
            yield index, result


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


class Fetched(NamedTuple):
    """A subject as a worker gets it: the model's file, the data set's, and the task."""

    cell: File
    data: File
    task: Any


class Measurement(NamedTuple, Generic[Gathered]):
    """Something that is measured of trained models, and how the cell store keeps it.

    Attributes
    ----------
    title : str
        Of the progress bar.
    work : callable
        Measures several models, in a worker: ``work(models)`` gets what is `Fetched` of each and
        returns a result of each, in the same order. `each` makes it of a function of one model.
    code : sequence of str
        The files that measure, such as `EVALUATING`.
    subjects : sequence of Subject
        What is measured, in the order in which tasks are begun: the long ones early.
    gather : callable
        What the results, in the order of `subjects`, make together.
    load : callable
        Makes the result again of what JSON makes of it.
    line : callable
        ``line(index, result)`` says a result in words, printed as it comes, and all that a log file
        gets.
    together : int
        How many models of an experiment `work` gets at most.
    """

    title: str
    work: Callable[[Sequence[Fetched]], Iterable[Any]]
    code: Sequence[str]
    subjects: Sequence[Subject]
    gather: Callable[[list[Any]], Gathered]
    load: Callable[[Any], Any] = dict
    line: Callable[[int, Any], str] | None = None
    together: int = 1


def each(measured: Callable[..., Result]) -> Callable[[Sequence[Fetched]], Iterable[Result]]:
    """Make a `Measurement.work` of ``measured(cell, data, task)``, which measures one model."""
    return partial(starmap, measured)


def measure(run: Run, measurement: Measurement[Gathered]) -> Gathered:
    """`measure_together`, of one."""
    (gathered,) = measure_together(run, measurement)
    return gathered


def measure_together(run: Run, *measurements: Measurement[Any]) -> list[Any]:
    """What each of `measurements` gathers, its results from the store where that has them.

    All that is not there is measured side by side, in the order given, with one progress bar.

    Raises
    ------
    PipelineError
        If the data or a cell is missing or damaged.
    """
    subjects = [subject for one in measurements for subject in one.subjects]
    data = {subject.data: file_of(subject.data) for subject in subjects}
    files = {subject.cell for subject in subjects} | {file.path for file in data.values()}
    digests = {path: File(path).digest() for path in files}
    keys = [_keys(run, one, data, digests) for one in measurements]
    saved = [[run.store.measured(key) for key in of_one] for of_one in keys]
    for one, values in zip(measurements, saved, strict=True):
        if known := sum(value is not None for value in values):
            print(
                f"{one.title}: {known} of {len(values)} results reused from the cell store",
                flush=True,
            )
    new = [
        (which, part)
        for which, (one, values) in enumerate(zip(measurements, saved, strict=True))
        for part in _parts(one, [i for i, value in enumerate(values) if value is None])
    ]
    tasks = []
    for which, part in new:
        of_part = [measurements[which].subjects[index] for index in part]
        fetched = [Fetched(File(one.cell), data[one.data], one.task) for one in of_part]
        tasks.append((which, fetched))
    title = ", ".join(one.title for one in measurements)
    work = partial(_work, [one.work for one in measurements])
    sizes = [len(part) for _, part in new]
    for place, results in with_progress(title, work, tasks, run.device, run.params.compute, sizes):
        which, part = new[place]
        one = measurements[which]
        for index, result in zip(part, results, strict=True):
            if one.line is not None:
                print(one.line(index, result), flush=True)
            saved[which][index] = result
            run.store.keep_measured(keys[which][index], result)
    if new:
        run.store.shrink()
    return [
        one.gather([one.load(value) for value in values])
        for one, values in zip(measurements, saved, strict=True)
    ]


def by_experiment(
    pairs: Sequence[tuple[Cell, str]], order: Mapping[str, Iterable[str]], results: Sequence[Result]
) -> dict[str, dict[str, list[Result]]]:
    """Results of `pairs` of a model and a method: by experiment, per method, one a seed.

    Experiments and their methods are in the given `order`, seeds in that of the pairs.
    """
    gathered: dict[str, dict[str, list[Result]]]
    gathered = {name: {method: [] for method in methods} for name, methods in order.items()}
    for (cell, method), result in zip(pairs, results, strict=True):
        gathered[cell.experiment][method].append(result)
    return gathered


def _parts(measurement: Measurement[Any], indices: Sequence[int]) -> Iterator[list[int]]:
    """Split `indices` into parts to measure together: neighbours of one experiment each."""

    def experiment(index: int) -> tuple[Path, Path]:
        subject = measurement.subjects[index]
        return subject.cell.parents[1], subject.data  # `Cell.path`

    for _, group in groupby(indices, experiment):
        of_experiment, size = list(group), measurement.together
        for start in range(0, len(of_experiment), size):
            yield of_experiment[start : start + size]


def _work(
    works: Sequence[Callable[[Sequence[Fetched]], Iterable[Any]]],
    task: tuple[int, Sequence[Fetched]],
    report: Report,
) -> list[Any]:
    """Do a task of the measurement that it is of; runs in a worker."""
    which, models = task
    return list(works[which](models))


def _keys(
    run: Run,
    measurement: Measurement[Any],
    data: Mapping[Path, File],
    digests: Mapping[Path, str],
) -> list[str]:
    """A fingerprint for each subject of all that its result follows from."""
    common = environment(run.device, digest_of_code(files_of(measurement.code)))
    return [
        fingerprint({"cell": digests[cell], **protocol, "data": digests[data[of].path], **common})
        for cell, of, protocol, _ in measurement.subjects
    ]


@lru_cache(maxsize=1)
def dataset_on(file: File, device: torch.device) -> Dataset:
    """The data set of a subject on `device`, read once in a worker for tasks in a row."""
    return read_dataset(file).to(device)


def drawn(split: Split, count: int) -> Tensor:
    """Indices of `count` examples, drawn at random once for all models, on the split's device.

    The seed is no parameter: another draw would be another yardstick. Not the first ones: the first
    half of MNIST's test set is easier than the second.
    """
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(0))
    return order[:count].to(split.x.device)
