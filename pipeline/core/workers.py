"""Run tasks in parallel: one single-threaded process each on the CPU, one after another on a GPU.

With one core or one task this process does the work itself.

One thread per task, because small models gain little from more, and because results then do not
depend on the number of cores.
"""

import multiprocessing
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from multiprocessing.connection import Connection
from typing import Any, TypeVar

import torch

from pipeline.core.errors import PipelineError
from pipeline.core.processes import cores, interrupts_blocked

Task = TypeVar("Task")
Result = TypeVar("Result")
Report = Callable[[int, float], None]
Work = Callable[[Task, Report], Result]

AHEAD = 4  # tasks in flight for each worker; to wait for thousands at once takes longer than a task
GRACE = 5.0  # seconds a worker has to remove half-written files

_reports: Any = None  # in a worker, the queue to the parent


def run_side_by_side(
    work: Work[Task, Result],
    tasks: Sequence[Task],
    device: torch.device,
    report: Callable[[int, int, float], None],
) -> Iterator[tuple[int, Result]]:
    """As `tasks.run_tasks`. An error, Ctrl-C or the parent's death ends the workers at once.

    Raises
    ------
    PipelineError
        If a worker was killed.
    """
    workers = min(len(tasks), cores())
    if device.type != "cpu" or workers <= 1:
        with one_thread():
            for index, task in enumerate(tasks):
                yield index, work(task, lambda *state, index=index: report(index, *state))
        return
    context = multiprocessing.get_context("spawn")
    reports = context.Queue()
    lifeline, held = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(workers, context, _start_worker, (reports, lifeline))
    remaining, futures = iter(enumerate(tasks)), {}

    def submit(count: int) -> None:
        for index, task in islice(remaining, count):
            futures[pool.submit(_in_worker, work, index, task)] = index

    try:
        with interrupts_blocked():  # inherited by the workers: the parent handles Ctrl-C
            submit(AHEAD * workers)
        # The pool watches those workers that were there before `submit` started another: without
        # one more call the death of the last would go unnoticed until another task is done.
        pool.submit(int)
        while futures:
            done, _ = wait(futures, timeout=0.2, return_when=FIRST_COMPLETED)
            drain(reports, report)
            submit(len(done))
            for future in done:
                yield futures.pop(future), future.result()
    except BrokenProcessPool as error:
        raise PipelineError(
            "a worker process was killed, most likely because memory ran out. Free some memory and "
            "repeat the command, or use fewer cores, each of which has a worker: "
            "`taskset --cpu-list 0 dvc repro` uses one."
        ) from error
    finally:
        held.close()
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread, so that sums do not depend on the number of cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _start_worker(reports: Any, lifeline: Connection) -> None:
    global _reports
    _reports = reports
    if lifeline.poll(0):
        os._exit(1)  # the parent ended while this worker was starting
    torch.set_num_threads(1)
    threading.Thread(target=_leave_with_parent, args=(lifeline,), daemon=True).start()


def _leave_with_parent(lifeline: Connection) -> None:
    """End this worker when its parent ends or is killed: an orphan must not go on writing."""
    lifeline.poll(None)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os._exit(1)


def _in_worker(work: Work[Task, Result], index: int, task: Task) -> Result:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # unwinds, removing half-written files
    try:
        return work(task, lambda *state: _reports.put((index, *state)))
    except SystemExit:  # the pool would take it for a result
        os._exit(1)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def drain(reports: Any, report: Callable[[int, int, float], None]) -> None:
    """Pass everything in the queue `reports` on to `report`."""
    while True:
        try:
            report(*reports.get_nowait())
        except queue.Empty:
            return
