"""Measure one way to train: milliseconds per step and model, and memory.

Both ways run their real loops: batches gathered, noise drawn, losses, gradients, Adam, validation
whenever it is due. Not counted: the start of processes and the first epoch.
"""

import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch

from benchmarks import textbook
from benchmarks.memory import forget_peak
from benchmarks.problems import Problem, changed
from benchmarks.stopwatch import Enough, Stopwatch, Timing
from pipeline.core.dataset import Dataset, load_dataset
from pipeline.core.device import cores
from pipeline.core.store import Checkpoint
from pipeline.core.workers import Report, run_side_by_side
from pipeline.models.building import Inputs, build_senn
from pipeline.models.cells import Cell
from pipeline.training.bank import train_bank
from pipeline.training.objectives import Objective
from pipeline.training.table_stepping import fits

LAMBDAS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
_ENDLESS = 10**6  # epochs; the stopwatch ends it
_PATIENCE = 600.0  # seconds for all processes to be warm

Argument = TypeVar("Argument")
Result = TypeVar("Result")


class Speed(NamedTuple):
    """`ms` per step and model, `steps` made, `peak` bytes of the largest process (of the GPU)."""

    ms: float
    steps: int
    peak: int
    processes: int
    threads: int


@dataclass(frozen=True)
class Timed:
    """A training to be timed, for at least so many `seconds` and `steps`.

    `width` is the bank's, cells; `meeting` a folder where as many processes as are in
    `company` tell each other that they are warm.
    """

    problem: Problem
    device: torch.device
    seconds: float
    steps: int = 1
    width: int = 1
    meeting: Path | None = None
    company: int = 1

    def stopwatch(self, data: Dataset) -> Stopwatch:
        batch_size = self.problem.params.experiment(self.problem.name).batch_size
        epoch_steps = len(data.train) // batch_size
        return Stopwatch(epoch_steps, self.device, self.seconds, self.steps, self.meet)

    def meet(self) -> None:
        """Return when everybody is here."""
        if self.meeting is None:
            return
        (self.meeting / str(os.getpid())).touch()
        end = time.monotonic() + _PATIENCE
        while len(list(self.meeting.iterdir())) < self.company:
            if time.monotonic() > end:
                raise TimeoutError(f"{self.company} processes did not start together")
            time.sleep(0.001)


def textbook_speed(problem: Problem, device: torch.device, seconds: float, steps: int = 1) -> Speed:
    """The textbook, one model at a time.

    On the CPU with as many threads as there are cores, or with one if that is faster: of
    several threads each waits for the slowest, which on a busy machine takes long.
    """
    run = Timed(problem, device, seconds, steps)
    if device.type == "cuda":
        return _speed([_train_textbook(run)], 1)
    return min(_speed([timing], 1) for timing in in_fresh_process(_train_textbook_twice, run))


def textbooks_side_by_side(problem: Problem, device: torch.device, seconds: float) -> Speed:
    """The textbook in as many processes of one thread as there are cores, a model each."""
    return _side_by_side(_train_textbook_in_company, Timed(problem, device, seconds), cores())


def bank_speed(problem: Problem, device: torch.device, seconds: float, width: int) -> Speed:
    """Banks of `width` cells as the pipeline runs them: side by side, one of a table alone."""
    run = Timed(problem, device, seconds, width=width)
    params = problem.params
    takes_all_cores = fits(params.experiment(problem.name), params.robustness, device)
    return _side_by_side(_train_bank, run, 1 if takes_all_cores else cores())


def in_fresh_process(work: Callable[[Argument], Result], argument: Argument) -> Result:
    """``work(argument)`` in a new process, so that its peak of memory is its own."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as pool:
        return pool.submit(work, argument).result()


def _side_by_side(work: Callable[[Timed, Report], Timing], run: Timed, processes: int) -> Speed:
    """`run` in so many processes at the same time; on a GPU in one."""
    company = 1 if run.device.type == "cuda" else processes
    with tempfile.TemporaryDirectory() as meeting:
        runs = [replace(run, meeting=Path(meeting), company=company)] * company
        done = run_side_by_side(work, runs, run.device, lambda *_: None)
        return _speed([timing for _, timing in done], run.width)


def _speed(timings: list[Timing], models: int) -> Speed:
    """Of processes that ran at the same time, with as many `models` each."""
    per_second = sum(timing.steps * models / timing.seconds for timing in timings)
    return Speed(
        1000 / per_second,
        sum(timing.steps for timing in timings),
        max(timing.peak for timing in timings),
        len(timings),
        timings[0].threads,
    )


def _train_textbook(run: Timed) -> Timing:
    forget_peak(run.device)
    torch.manual_seed(0)
    data = load_dataset(run.problem.data)
    model = textbook.Textbook(_endless(run.problem).params, run.problem.name, data)
    stopwatch = run.stopwatch(data)
    with suppress(Enough):
        textbook.train(model, LAMBDAS[0], data, run.device, stopwatch)
    return stopwatch.timing()


def _train_textbook_twice(run: Timed) -> list[Timing]:
    """With a thread for each core, and with one."""
    torch.set_num_threads(cores())
    timings = [_train_textbook(run)]
    if torch.get_num_threads() > 1:
        torch.set_num_threads(1)
        timings.append(_train_textbook(run))
    return timings


def _train_textbook_in_company(run: Timed, report: Report) -> Timing:
    return _train_textbook(run)


def _train_bank(run: Timed, report: Report) -> Timing:
    """Runs in a worker."""
    forget_peak(run.device)
    problem = _endless(run.problem)
    params, experiment = problem.params, problem.params.experiment(problem.name)
    data = load_dataset(problem.data)
    inputs = Inputs(data.input_shape, data.mean, data.std)
    seeds = range(-(-run.width // len(LAMBDAS)))
    cells = [Cell(problem.name, robust_reg, seed) for seed in seeds for robust_reg in LAMBDAS]
    stopwatch = run.stopwatch(data)
    with suppress(Enough):
        train_bank(
            cells[: run.width],
            Objective(experiment, params.robustness, params.vae),
            lambda seed: build_senn(problem.name, experiment, params.vae, inputs, seed),
            data.to(run.device),
            stopwatch,
            Checkpoint(None),
        )
    return stopwatch.timing()


def _endless(problem: Problem) -> Problem:
    endless = changed(problem.params, {f"experiments.{problem.name}.epochs": _ENDLESS})
    return Problem(endless, problem.name, problem.data)
