"""Many models, measured side by side, with a progress bar, and none measured twice."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from rich.console import Console
from rich.progress import Progress

from pipeline.core.dataset import FILE_NAME
from pipeline.core.files import digest_of
from pipeline.core.fingerprint import (
    COMPUTING_CODE,
    digest_of_code,
    environment,
    files_of,
    fingerprint,
)
from pipeline.core.params import Compute
from pipeline.core.store import CellStore
from pipeline.core.tasks import run_tasks
from pipeline.core.workers import Work

Task = TypeVar("Task")
Result = TypeVar("Result")

OFF = CellStore(None, 0)
# What measures a cell, and what scores a method on it: every line counts.
EVALUATING = (
    *COMPUTING_CODE,
    "explanations/method.py",
    "explanations/senn.py",
    "metrics/**/*.py",
    "training/robustness.py",
)
EXPLAINING = (*EVALUATING, "explanations/**/*.py")


class Kept(NamedTuple):
    """How results are kept in the cell store.

    `keys` are the fingerprints of the tasks; `save` makes of a result what JSON can hold, and
    `load` the result again.
    """

    store: CellStore
    keys: Sequence[str]
    save: Callable[[Any], Any]
    load: Callable[[Any], Any]


def keys_of(
    tasks: Sequence[dict[str, Any]], code: Sequence[str], data: Sequence[Path], device: torch.device
) -> list[str]:
    """A fingerprint per task of all that its result follows from.

    Parameters
    ----------
    tasks : what is measured, and how: JSON values.
    code : the files that measure, such as `EVALUATING`.
    data : per task, the folder of its prepared data set.
    """
    digests = {folder: digest_of(folder / FILE_NAME) for folder in set(data)}
    common = environment(device, digest_of_code(files_of(code)))
    return [
        fingerprint({**task, "data": digests[folder], **common})
        for task, folder in zip(tasks, data, strict=True)
    ]


def side_by_side(
    title: str,
    work: Work[Task, Result],
    tasks: Sequence[Task],
    device: torch.device,
    compute: Compute,
    line: Callable[[int, Result], str] | None = None,
    kept: Kept | None = None,
) -> list[Result]:
    """Results of ``work(task, report)`` in the order of `tasks`, run by `run_tasks`.

    With a progress bar; `line` says the result of a task in words, printed as it comes, and all
    that a log file gets. Results that are `kept` are taken from the store.
    """
    console, results = Console(), {}
    for index, key in enumerate(kept.keys if kept else ()):
        if kept and (value := kept.store.measured(key)) is not None:
            results[index] = kept.load(value)
    new = [index for index in range(len(tasks)) if index not in results]
    if results:
        print(f"{title}: {len(results)} of {len(tasks)} results reused from the cell store")
    with Progress(console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task(title, total=len(new))
        todo = [tasks[index] for index in new]
        for place, result in run_tasks(work, todo, device, compute):
            index = new[place]
            progress.advance(bar)
            if line is not None:
                print(line(index, result), flush=True)
            if kept:
                saved = kept.save(result)
                kept.store.keep_measured(kept.keys[index], saved)
                result = kept.load(saved)  # as it comes from the store
            results[index] = result
    if kept and new:
        kept.store.shrink()
    return [results[index] for index in range(len(tasks))]
