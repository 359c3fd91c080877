"""Whole trainings: COMPAS grids by the engine, and as many textbook runs, one after the other.

Seconds are those of whole processes, from their start to their end: imports, data, training, and
with the engine its workers, the cell store and the files of all cells. The textbook has one process
for all its runs, and nothing but trained weights at the end.
"""

import shutil
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks import textbook
from benchmarks.measure import LAMBDAS, Argument, in_fresh_process, textbook_speed
from benchmarks.memory import MIB, TreePeak
from benchmarks.problems import Problem, changed
from benchmarks.settings import Settings
from benchmarks.steps import Row, Say, significant
from pipeline.core.dataset import load_dataset
from pipeline.core.store import CellStore
from pipeline.training.engine import train_grid
from pipeline.training.task import Job

_STORE = 5 * 10**9  # bytes, as many as the user's store has by default


class Run(NamedTuple):
    """A process that trained: `seconds` in all, `training` of them, its and its workers' memory."""

    seconds: float
    training: float
    peak: int | None


@dataclass(frozen=True)
class TextbookRuns:
    """So many whole runs of the textbook, one after the other, on so many threads."""

    problem: Problem
    device: torch.device
    count: int
    threads: int


def time_grids(
    problem: Problem, folder: Path, device: torch.device, settings: Settings, say: Say
) -> Row:
    """Seconds and memory of the `grids`, and of the textbook for the cells of the first one.

    The first grid is trained `rounds` times, with the textbook's runs between.
    """
    params = changed(problem.params, {f"experiments.{problem.name}.epochs": settings.epochs})
    problem = Problem(params, problem.name, problem.data)
    reference, *larger = settings.grids
    parts = _parts(settings.textbook_runs, settings.rounds)
    threads = textbook_speed(problem, device, settings.seconds).threads  # what is faster here
    first, textbooks = [], []
    for number, count in enumerate(parts, start=1):
        first.append(_grid(problem, reference, folder, device))
        say(f"{reference} cells, round {number}/{len(parts)}: {first[-1].seconds:.1f} s")
        textbooks.append(_run(_train_textbooks, TextbookRuns(problem, device, count, threads)))
        say(f"textbook, {count} runs: {textbooks[-1].seconds:.1f} s")
    rows = [_grid_row(reference, first)]
    for cells in larger:
        rows.append(_grid_row(cells, [_grid(problem, cells, folder, device)]))
        say(f"{cells} cells: {rows[-1]['seconds']:.1f} s")
    in_turn = _textbook_row(textbooks, settings.textbook_runs, reference)
    return {
        "epochs": settings.epochs,
        "textbook": in_turn,
        "grids": rows,
        "faster": significant(in_turn["seconds"] / rows[0]["seconds"]),
        "faster_training_only": significant(in_turn["training"] / rows[0]["training"]),
    }


def _grid(problem: Problem, cells: int, folder: Path, device: torch.device) -> Run:
    """Train a grid of so many cells; nothing of it is in a store before or remains after."""
    seeds = list(range(cells // len(LAMBDAS)))
    grid = {"explain.seeds": 1, "seeds": seeds, "lambda_grid": list(LAMBDAS)}
    params, place = changed(problem.params, grid), folder / f"grid-{cells}"
    store = CellStore(place / "store", _STORE)
    job = Job(params, problem.name, device, problem.data, Path(), place / "models", store)
    try:
        return _run(_train_cells, job)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _run(train: Callable[[Argument], float], argument: Argument) -> Run:
    """``train(argument)``, which says how long it trained, in a process of its own."""
    begun = time.perf_counter()
    with TreePeak() as memory:
        training = in_fresh_process(train, argument)
        seconds = time.perf_counter() - begun
    return Run(seconds, training, memory.peak)


def _train_cells(job: Job) -> float:
    begun = time.perf_counter()
    train_grid(job)
    return time.perf_counter() - begun


def _train_textbooks(job: TextbookRuns) -> float:
    torch.set_num_threads(job.threads)
    data = load_dataset(job.problem.data)
    begun = time.perf_counter()
    for run in range(job.count):
        torch.manual_seed(run)
        model = textbook.Textbook(job.problem.params, job.problem.name, data)
        textbook.train(model, LAMBDAS[run % len(LAMBDAS)], data, job.device, lambda *_: None)
    return time.perf_counter() - begun


def _grid_row(cells: int, runs: list[Run]) -> Row:
    seconds = [run.seconds for run in runs]
    known = [run.peak for run in runs if run.peak is not None]
    return {
        "cells": cells,
        "seconds": significant(statistics.median(seconds)),
        "seconds_low": significant(min(seconds)),
        "seconds_high": significant(max(seconds)),
        "training": significant(statistics.median(run.training for run in runs)),
        "measurements": len(runs),
        "peak_mib_all_processes": round(max(known) / MIB) if known else None,
    }


def _textbook_row(parts: list[Run], measured: int, wanted: int) -> Row:
    """As if `wanted` runs had been made in one process, from the `measured` in several."""
    start = statistics.median(part.seconds - part.training for part in parts)
    training = sum(part.training for part in parts) / measured * wanted
    return {
        "cells": wanted,
        "seconds": significant(start + training),
        "training": significant(training),
        "runs_measured": measured,
        "extrapolated": measured < wanted,
    }


def _parts(runs: int, rounds: int) -> list[int]:
    """`runs` in `rounds` nearly equal parts, none of them empty."""
    rounds = min(rounds, runs)
    return [runs // rounds + (part < runs % rounds) for part in range(rounds)]
