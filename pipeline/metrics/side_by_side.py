"""Many models, measured side by side, with a progress bar."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from rich.console import Console
from rich.progress import Progress

from pipeline.core.workers import Work, run_side_by_side

Task = TypeVar("Task")
Result = TypeVar("Result")


def side_by_side(
    title: str,
    work: Work[Task, Result],
    tasks: Sequence[Task],
    device: torch.device,
    line: Callable[[int, Result], str] | None = None,
) -> list[Result]:
    """Results of ``work(task, report)`` in the order of `tasks`, one per core at a time.

    With a progress bar; `line` says the result of a task in words, printed as it comes, and all
    that a log file gets.
    """
    console, results = Console(), {}
    with Progress(console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task(title, total=len(tasks))
        for index, result in run_side_by_side(work, tasks, device, lambda *_: None):
            progress.advance(bar)
            if line is not None:
                print(line(index, result), flush=True)
            results[index] = result
    return [results[index] for index in range(len(tasks))]
