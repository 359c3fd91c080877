"""Real measurements, as short as can be; what they come to depends on the machine."""

import os
from dataclasses import replace

import pytest
import torch

from benchmarks import end_to_end, measure
from benchmarks.end_to_end import Run, TextbookRuns, time_grids
from benchmarks.measure import (
    Speed,
    bank_speed,
    in_fresh_process,
    textbook_speed,
    textbooks_side_by_side,
)
from benchmarks.memory import MIB
from benchmarks.problems import compas, mnist
from benchmarks.settings import Settings
from benchmarks.stopwatch import Timing
from pipeline.core.device import cores
from pipeline.models.cells import grid

CPU = torch.device("cpu")
TINY = Settings(
    rounds=1,
    seconds=0.01,
    widths=(1,),
    grids=(5, 10),
    epochs=2,
    textbook_runs=3,
)


def test_speed_adds_up_what_processes_do_at_the_same_time():
    timings = [Timing(10, 1.0, 5 * MIB, 1), Timing(30, 2.0, 7 * MIB, 1)]
    speed = measure._speed(timings, models=4)
    assert speed.ms == pytest.approx(1000 / (4 * (10 / 1.0 + 30 / 2.0)))
    assert (speed.steps, speed.peak, speed.processes, speed.threads) == (40, 7 * MIB, 2, 1)


def test_textbook_alone_with_a_thread_for_each_core_or_one(tmp_path, monkeypatch):
    timings: list[Timing] = []

    def noted(work, run):
        timings.extend(in_fresh_process(work, run))
        return timings

    monkeypatch.setattr(measure, "in_fresh_process", noted)
    speed = textbook_speed(compas(tmp_path), CPU, seconds=0.01, steps=30)
    assert [timing.threads for timing in timings] == sorted({1, cores()}, reverse=True)
    assert [timing.steps for timing in timings] == [38] * len(timings), "two epochs of 19 steps"
    assert speed.processes == 1
    assert 0.01 < speed.ms < 1000
    assert 50 * MIB < speed.peak < 2000 * MIB


def test_textbook_is_timed_with_what_is_faster(tmp_path, monkeypatch):
    timings = [Timing(10, 2.0, MIB, 2), Timing(10, 1.0, MIB, 1)]
    monkeypatch.setattr(measure, "in_fresh_process", lambda work, run: timings)
    speed = textbook_speed(compas(tmp_path), CPU, seconds=0.01)
    assert (speed.ms, speed.threads) == (100, 1)


def test_banks_and_single_models_run_one_per_core_on_one_thread(tmp_path):
    problem = compas(tmp_path)
    one = textbooks_side_by_side(problem, CPU, 0.01)
    bank = bank_speed(problem, CPU, 0.01, 6)
    # All cores work on one bank of a table.
    for speed, processes in ((one, cores()), (bank, 1)):
        assert (speed.processes, speed.threads) == (processes, 1)
        assert speed.steps >= 19 * processes and speed.steps % 19 == 0
    assert 0.0001 < bank.ms < 1000


def test_probes_and_width_reach_the_bank(tmp_path, monkeypatch):
    """What is timed is what is said to be."""
    seen = []

    def train_bank(bank, objective, initial, data, report, checkpoint):
        seen.append((bank, objective, data))
        report(1, 0.0)
        report(2, 0.0)

    def in_turn(work, tasks, device, report):
        for index, task in enumerate(tasks):
            yield index, work(task, lambda *_: None)

    monkeypatch.setattr(measure, "train_bank", train_bank)
    monkeypatch.setattr(measure, "run_side_by_side", in_turn)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0})
    problem = mnist(tmp_path, "cpu").with_probes(1)
    speed = bank_speed(problem, CPU, 0.0, 15)
    (((bank, objective, data)),) = seen
    assert len(bank) == len({(cell.seed, cell.robust_reg) for cell in bank}) == 15
    assert objective.robustness.probes == 1
    assert objective.robustness.variant == "review2020"
    assert len(data.train) // objective.experiment.batch_size == speed.steps


@pytest.fixture
def threads(monkeypatch):
    """How many threads the textbook is said to be faster with; measured it is above."""
    monkeypatch.setattr(end_to_end, "textbook_speed", lambda *_: Speed(1.0, 1, MIB, 1, 1))
    return 1


def test_grids(tmp_path, threads):
    whole = time_grids(compas(tmp_path), tmp_path, CPU, TINY, lambda _: None)
    assert [row["cells"] for row in whole["grids"]] == [5, 10]
    assert [row["measurements"] for row in whole["grids"]] == [1, 1]
    for row in whole["grids"]:
        assert 0 < row["training"] < row["seconds"]
        assert 100 < row["peak_mib_all_processes"] < 8000
    book = whole["textbook"]
    assert (book["cells"], book["runs_measured"], book["extrapolated"]) == (5, 3, True)
    assert whole["faster"] == pytest.approx(
        book["seconds"] / whole["grids"][0]["seconds"], rel=0.01
    )
    assert not list(tmp_path.glob("grid-*")), "models were left behind"


def test_rounds_of_grids(tmp_path, monkeypatch, threads):
    """The textbook's runs are between those of the first grid; the times are made up."""
    ran, said = [], []

    def run(train, argument):
        if isinstance(argument, TextbookRuns):
            ran.append((argument.count, argument.threads))
            return Run(10.0 * argument.count + 4, 10.0 * argument.count, None)
        params = argument.params
        ran.append(len(grid(params, "compas_senn")))
        assert params.experiment("compas_senn").epochs == TINY.epochs
        return Run(float(len(ran)), len(ran) / 2, len(ran) * 100 * MIB)

    monkeypatch.setattr(end_to_end, "_run", run)
    settings = replace(TINY, rounds=3, textbook_runs=4)
    whole = time_grids(compas(tmp_path), tmp_path, CPU, settings, said.append)
    assert ran == [5, (2, threads), 5, (1, threads), 5, (1, threads), 10]
    first, larger = whole["grids"]
    assert (first["seconds_low"], first["seconds"], first["seconds_high"]) == (1, 3, 5)
    assert (first["training"], first["measurements"]) == (1.5, 3)
    assert (first["peak_mib_all_processes"], larger["peak_mib_all_processes"]) == (500, 700)
    assert (larger["seconds"], larger["measurements"]) == (7, 1)
    assert whole["textbook"]["seconds"] == 4 + 5 * 10
    assert whole["faster"] == 18
    assert whole["faster_training_only"] == pytest.approx(50 / 1.5, rel=1e-2)
    assert any("10 cells" in line for line in said)
