"""Run tasks side by side: on this machine, or on the nodes of a cluster, with the same results."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch

from pipeline.core.cluster import run_on_cluster
from pipeline.core.params import Compute
from pipeline.core.workers import Work, run_side_by_side

Task = TypeVar("Task")
Result = TypeVar("Result")


def run_tasks(
    work: Work[Task, Result],
    tasks: Sequence[Task],
    device: torch.device,
    compute: Compute,
    report: Callable[[int, int, float], None] = lambda *_: None,
) -> Iterator[tuple[int, Result]]:
    """Yield (index of the task, its result) as tasks finish, wherever params.yaml has them run.

    Parameters
    ----------
    work : ``work(task, report)``, a module's function or a `partial` of one, which has what all
        tasks share. What it reads it is given as `File`, what it makes it returns.
    device : of this machine, a node's is of the same type.
    report : called in this process with (index of the task, epochs done, value) as tasks report.

    Raises
    ------
    PipelineError
        As `run_side_by_side` and `run_on_cluster` do; what `work` raises is raised here.
    """
    if compute.engine == "ray":
        return run_on_cluster(work, tasks, device, compute.cores_per_task, report)
    return run_side_by_side(work, tasks, device, report)
