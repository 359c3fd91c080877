"""Run tasks side by side: one process and one thread each on the CPU, in turn on a GPU.

One thread per task, because small models gain little from more, and because then no result
depends on how many cores there are.
"""

import multiprocessing
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from typing import Any, TypeVar

import torch

Task = TypeVar("Task")
Result = TypeVar("Result")
Report = Callable[[int, float], None]
Work = Callable[[Task, Report], Result]

_reports: Any = None  # in a worker: the queue to the parent


def run_side_by_side(
    work: Work[Task, Result],
    tasks: Sequence[Task],
    device: torch.device,
    report: Callable[[int, int, float], None],
) -> Iterator[tuple[int, Result]]:
    """Yield (index of the task, its result) as tasks finish.

    Parameters
    ----------
    work : a function of a module, ``work(task, report)``; what it raises is raised here, and tasks
        not yet begun are dropped.
    report : called here with (index of the task, epochs done, accuracy) as workers report.
    """
    if device.type != "cpu":
        for index, task in enumerate(tasks):
            yield index, work(task, lambda *state, index=index: report(index, *state))
        return
    if not tasks:
        return
    context = multiprocessing.get_context("spawn")
    reports = context.Queue()
    workers = min(len(tasks), _cores())
    pool = ProcessPoolExecutor(workers, context, _start_worker, (reports, os.getpid()))
    try:
        futures = {
            pool.submit(_in_worker, work, index, task): index for index, task in enumerate(tasks)
        }
        waiting = set(futures)
        while waiting:
            done, waiting = wait(waiting, timeout=0.2, return_when=FIRST_COMPLETED)
            _drain(reports, report)
            for future in done:
                yield futures[future], future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _cores() -> int:
    """Cores this process may use, which in a container is fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _start_worker(reports: Any, parent: int) -> None:
    global _reports
    _reports = reports
    torch.set_num_threads(1)
    threading.Thread(target=_leave_with_parent, args=(parent,), daemon=True).start()


def _leave_with_parent(parent: int) -> None:
    """End this worker when its parent was killed: an orphan must not go on writing files."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _in_worker(work: Work[Task, Result], index: int, task: Task) -> Result:
    return work(task, lambda *state: _reports.put((index, *state)))


def _drain(reports: Any, report: Callable[[int, int, float], None]) -> None:
    while True:
        try:
            report(*reports.get_nowait())
        except queue.Empty:
            return
