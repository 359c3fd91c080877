"""What ``python -m benchmarks`` times: steps, whole grids, and how a step's cost grows."""

import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from benchmarks import textbook
from benchmarks.measure import (
    LAMBDAS,
    MIB,
    P,
    Problem,
    Speed,
    changed,
    in_fresh_process,
    mnist,
    peak_of_children,
    side_by_side,
    textbook_speed,
)
from benchmarks.report import significant
from pipeline.core.dataset import load_dataset
from pipeline.core.run import Run
from pipeline.core.store import CellStore
from pipeline.training.engine import train_grids
from pipeline.training.task import Job

PROBES: tuple[Literal["exact"] | int, ...] = ("exact", 1)
_STORE = 5 * 10**9  # bytes, the default size of the user's store

Row = dict[str, Any]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Settings:
    """How much is measured.

    rounds : measurements of the same thing, with others between them.
    seconds : a measurement of steps lasts at least so long.
    widths : models in a bank.
    grids : cells of the COMPAS grids that are trained whole, multiples of 5.
    epochs : of those grids.
    textbook_runs : whole runs of the textbook, to compare with the first of `grids`; if they are
        fewer than its cells, the rest is extrapolated.
    classes, concepts : of MNIST-SENN, to see how a step's cost grows; by banks of `growth_width`.
    """

    rounds: int = 2
    seconds: float = 2.0
    widths: tuple[int, ...] = (1, 5, 15, 50)
    grids: tuple[int, ...] = (15, 60, 250, 1000)
    epochs: int = 100
    textbook_runs: int = 15
    classes: tuple[int, ...] = (2, 5, 10, 20)
    concepts: tuple[int, ...] = (2, 5, 10, 20)
    growth_width: int = 5


FULL = Settings()
ON_GPU = Settings(rounds=1, seconds=0.5, textbook_runs=2)  # which nobody else uses meanwhile
QUICK = Settings(1, 0.5, (1, 5), (15, 60), 10, 2, classes=(2, 10), concepts=(2, 10))


def time_steps(
    problems: Sequence[Problem], device: torch.device, settings: Settings, say: Say
) -> list[Row]:
    """One row per problem and way to train it: the textbook first, then banks of all `widths`.

    The load of the machine may change: a measurement of the textbook precedes every other one, and
    `faster` is the median of such pairs' ratios. On the CPU the textbook is also measured in one
    process per core, where `width` is 0.
    """
    rows: list[Row] = []
    ways = [(probes, width) for probes in PROBES for width in settings.widths]
    if device.type == "cpu":
        ways.insert(0, ("exact", 0))
    for problem in problems:
        pairs: dict[Any, list[tuple[Speed, Speed]]] = {way: [] for way in ways}
        for number in range(1, settings.rounds + 1):
            for probes, width in ways:
                own = problem.with_params({"robustness.probes": probes})
                pair = (
                    textbook_speed(problem, device, settings.seconds),
                    side_by_side(own, device, settings.seconds, width),
                )
                pairs[probes, width].append(pair)
                way = f"probes {probes}, width {width}" if width else "a textbook per core"
                say(
                    f"{problem.name}, {way}, round {number}/{settings.rounds}: {pair[1].ms:.3g} ms "
                    f"per step and model, textbook {pair[0].ms:.3g} ms"
                )
        textbooks = [pair[0] for several in pairs.values() for pair in several]
        rows.append({"experiment": problem.name, "method": "textbook", **_summary(textbooks)})
        for (probes, width), several in pairs.items():
            row: Row = {"experiment": problem.name, "method": "textbook"}
            if width:
                row |= {"method": "pipeline", "probes": probes, "width": width}
            ratios = [book.ms / way.ms for book, way in several]
            row |= _summary([way for _, way in several])
            row["faster"] = significant(statistics.median(ratios))
            rows.append(row)
    return rows


def _summary(speeds: Sequence[Speed]) -> Row:
    """Median and range of several measurements of one thing; the largest peak of memory."""
    return {
        "processes": speeds[0].processes,
        "threads": statistics.mode(speed.threads for speed in speeds),
        **_median_and_range("ms", [speed.ms for speed in speeds]),
        "measurements": len(speeds),
        "peak_mib": round(max(speed.peak for speed in speeds) / MIB),
    }


def _median_and_range(key: str, values: Sequence[float]) -> Row:
    numbers = {
        key: statistics.median(values),
        f"{key}_low": min(values),
        f"{key}_high": max(values),
    }
    return {name: significant(value) for name, value in numbers.items()}


def time_growth(folder: Path, device: torch.device, settings: Settings, say: Say) -> list[Row]:
    """MNIST-SENN with other numbers of classes, and of concepts: ms per step and model.

    The textbook needs C + K backward passes, the exact loss C, and the estimate one per probe.
    """
    rows = []
    sizes = [("classes", n) for n in settings.classes] + [
        ("concepts", n) for n in settings.concepts
    ]
    for along, number in sizes:
        problem = mnist(folder, device.type, **{along: number})
        experiment, width = problem.params.experiment(problem.name), settings.growth_width
        row = {
            "along": along,
            "classes": experiment.num_classes,
            "concepts": experiment.num_concepts,
            "width": width,
            "textbook_ms": significant(textbook_speed(problem, device, settings.seconds).ms),
        }
        for key, probes in zip(("exact_ms", "probes_1_ms"), PROBES, strict=True):
            bank = problem.with_params({"robustness.probes": probes})
            row[key] = significant(side_by_side(bank, device, settings.seconds, width).ms)
        rows.append(row)
        say(", ".join(f"{key} {value}" for key, value in row.items()))
    return rows


class Timed(NamedTuple):
    """A process that trained: `seconds` in all, `training` of them; the memory of its children."""

    seconds: float
    training: float
    peak: int | None


def time_grids(
    problem: Problem, folder: Path, device: torch.device, settings: Settings, say: Say
) -> Row:
    """Seconds and memory of whole `grids`, and of the textbook for the cells of the first one.

    Whole processes are timed: imports, data, training, and in the pipeline workers, the cell store
    and the files of all cells. The textbook trains all its models in one process and writes none.
    The first grid is trained `rounds` times, with the textbook's runs between.
    """
    problem = problem.with_params({f"experiments.{problem.name}.epochs": settings.epochs})
    reference, *larger = settings.grids
    rounds = min(settings.rounds, settings.textbook_runs)
    threads = textbook_speed(problem, device, settings.seconds).threads  # whichever is faster
    grids, books = [], []
    for number in range(rounds):
        grids.append(_grid(problem, reference, folder, device))
        say(f"{reference} cells, round {number + 1}/{rounds}: {grids[-1].seconds:.1f} s")
        # Nearly equal parts of all textbook runs.
        count = (settings.textbook_runs + number) // rounds
        books.append(_run(_train_textbooks, problem, device, count, threads))
        say(f"textbook, {count} runs: {books[-1].seconds:.1f} s")
    rows = [_grid_row(reference, grids)]
    for cells in larger:
        rows.append(_grid_row(cells, [_grid(problem, cells, folder, device)]))
        say(f"{cells} cells: {rows[-1]['seconds']:.1f} s")
    textbook_row = _textbook_row(books, settings.textbook_runs, reference)
    return {
        "epochs": settings.epochs,
        "textbook": textbook_row,
        "grids": rows,
        "faster": significant(textbook_row["seconds"] / rows[0]["seconds"]),
        "faster_training_only": significant(textbook_row["training"] / rows[0]["training"]),
    }


def _grid(problem: Problem, cells: int, folder: Path, device: torch.device) -> Timed:
    """Train a grid of so many cells, from an empty store that is removed afterwards."""
    seeds = list(range(cells // len(LAMBDAS)))
    grid = {
        "explain.seeds": 1,
        f"experiments.{problem.name}.seeds": seeds,
        "lambda_grid": list(LAMBDAS),
    }
    params, place = changed(problem.params, grid), folder / f"grid-{cells}"
    store = CellStore(place / "store", _STORE)
    try:
        run = Run(params, device, problem.data.parent, place / "models", store)
        return _run(_train_cells, Job(run, problem.name))
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _run(train: Callable[P, float], *given: P.args, **named: P.kwargs) -> Timed:
    """``train(*given, **named)``, which returns how long it trained, in a process of its own."""
    begun = time.perf_counter()
    with peak_of_children() as totals:
        training = in_fresh_process(train, *given, **named)
        seconds = time.perf_counter() - begun
    return Timed(seconds, training, max(totals, default=None))


def _train_cells(job: Job) -> float:
    begun = time.perf_counter()
    train_grids([job])
    return time.perf_counter() - begun


def _train_textbooks(problem: Problem, device: torch.device, count: int, threads: int) -> float:
    """Whole runs of the textbook, one after the other."""
    torch.set_num_threads(threads)
    data = load_dataset(problem.data)
    begun = time.perf_counter()
    for run in range(count):
        torch.manual_seed(run)
        model = textbook.Textbook(problem.params, problem.name, data)
        textbook.train(model, LAMBDAS[run % len(LAMBDAS)], data, device, lambda *_: None)
    return time.perf_counter() - begun


def _grid_row(cells: int, runs: Sequence[Timed]) -> Row:
    peaks = [run.peak for run in runs if run.peak is not None]
    return {
        "cells": cells,
        **_median_and_range("seconds", [run.seconds for run in runs]),
        "training": significant(statistics.median(run.training for run in runs)),
        "measurements": len(runs),
        "peak_mib_all_processes": round(max(peaks) / MIB) if peaks else None,
    }


def _textbook_row(parts: Sequence[Timed], measured: int, wanted: int) -> Row:
    """What `wanted` runs in one process would have taken, from the `measured` ones in several."""
    start = statistics.median(part.seconds - part.training for part in parts)
    training = sum(part.training for part in parts) / measured * wanted
    return {
        "cells": wanted,
        "seconds": significant(start + training),
        "training": significant(training),
        "runs_measured": measured,
        "extrapolated": measured < wanted,
    }
