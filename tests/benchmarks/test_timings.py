"""How measurements are combined; those of all but the grids are made up."""

import os
from dataclasses import replace

import pytest
import torch

from benchmarks import timings
from benchmarks.measure import MIB, Speed, compas
from benchmarks.timings import Settings, Timed, time_grids, time_growth, time_steps
from pipeline.core.cells import grid
from tests.processes import ONE_CORE

CPU = torch.device("cpu")
SETTINGS = Settings(rounds=3, seconds=0.1, widths=(1, 5, 15))
TINY = Settings(rounds=1, seconds=0.01, widths=(1,), grids=(5, 10), epochs=2, textbook_runs=3)


@pytest.fixture
def measured(monkeypatch):
    """Calls in order. The machine becomes slower with each: the ratio of a pair must not change."""
    calls = []

    def speed(what, ms, peak):
        calls.append(what)
        slower = 1.0 + (len(calls) - 1) // 2  # the same for both of a pair
        return Speed(ms * slower, peak, 1, 2)

    def side_by_side(problem, device, seconds, width):
        if width == 0:
            return speed("again", 30.0, MIB)
        probes = problem.params.robustness.probes
        return speed((probes, width), 20.0 / width, (300 + 100 * width) * MIB)

    monkeypatch.setattr(timings, "side_by_side", side_by_side)
    monkeypatch.setattr(timings, "textbook_speed", lambda *_: speed("textbook", 40.0, 300 * MIB))
    return calls


def test_every_measurement_follows_one_of_the_textbook(tmp_path, measured):
    time_steps([compas(tmp_path)], CPU, SETTINGS, lambda _: None)
    assert set(measured[::2]) == {"textbook"}
    ways = ["again", *((probes, width) for probes in ("exact", 1) for width in (1, 5, 15))]
    assert measured[1::2] == ways * 3


def test_ratios_are_of_pairs(tmp_path, measured):
    rows = time_steps([compas(tmp_path)], CPU, SETTINGS, lambda _: None)
    textbook, again, *banks = rows
    assert (textbook["method"], again["method"]) == ("textbook", "textbook")
    assert textbook["measurements"] == 21
    assert (textbook["ms_low"], textbook["ms"], textbook["ms_high"]) == (40, 40 * 11, 40 * 21)
    assert again["faster"] == pytest.approx(40 / 30, rel=1e-3)
    assert [(row["probes"], row["width"]) for row in banks] == [
        (probes, width) for probes in ("exact", 1) for width in (1, 5, 15)
    ]
    assert [row["faster"] for row in banks] == [2, 10, 30] * 2
    assert [row["peak_mib"] for row in banks] == [400, 800, 1800] * 2
    assert {row["measurements"] for row in banks} == {3}


def test_on_a_gpu_one_process_is_measured(tmp_path, measured):
    rows = time_steps([compas(tmp_path)], torch.device("cuda"), SETTINGS, lambda _: None)
    assert "again" not in measured
    assert [row["method"] for row in rows] == ["textbook"] + 6 * ["pipeline"]


def test_growth_measures_models_of_these_sizes(tmp_path, monkeypatch):
    """Made-up speeds: the textbook's backward passes, the classes of the exact loss, one probe."""

    def sizes(problem):
        experiment = problem.params.experiment(problem.name)
        return experiment.num_classes, experiment.num_concepts

    def textbook(problem, device, seconds):
        return Speed(float(sum(sizes(problem))), MIB, 1, 1)

    def bank(problem, device, seconds, width):
        assert width == 5
        exact = problem.params.robustness.probes == "exact"
        return Speed(float(sizes(problem)[0]) if exact else 1.0, MIB, 1, 1)

    monkeypatch.setattr(timings, "textbook_speed", textbook)
    monkeypatch.setattr(timings, "side_by_side", bank)
    rows = time_growth(tmp_path, CPU, Settings(classes=(2, 20), concepts=(3,)), lambda _: None)
    keys = ("along", "classes", "concepts", "textbook_ms", "exact_ms", "probes_1_ms")
    assert [tuple(row[key] for key in keys) for row in rows] == [
        ("classes", 2, 5, 7.0, 2.0, 1.0),
        ("classes", 20, 5, 25.0, 20.0, 1.0),
        ("concepts", 10, 3, 13.0, 10.0, 1.0),
    ]


@pytest.fixture
def threads(monkeypatch):
    """The number of threads that the textbook is reported to be fastest with."""
    monkeypatch.setattr(timings, "textbook_speed", lambda *_: Speed(1.0, MIB, 1, 1))
    return 1


@pytest.fixture
def one_core():
    """What is started meanwhile has one core, and starts no workers."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, ONE_CORE)
    yield
    os.sched_setaffinity(0, cores)


@pytest.mark.usefixtures("one_core", "threads")
def test_grids(tmp_path):
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

    def run(train, job, *given):
        if train is timings._train_textbooks:
            _, count, threads = given
            ran.append((count, threads))
            return Timed(10.0 * count + 4, 10.0 * count, None)
        params = job.run.params
        ran.append(len(grid(params, "compas_senn")))
        assert params.experiment("compas_senn").epochs == TINY.epochs
        return Timed(float(len(ran)), len(ran) / 2, len(ran) * 100 * MIB)

    monkeypatch.setattr(timings, "_run", run)
    settings = replace(TINY, rounds=3, textbook_runs=4)
    whole = time_grids(compas(tmp_path), tmp_path, CPU, settings, said.append)
    assert ran == [5, (1, threads), 5, (1, threads), 5, (2, threads), 10]
    first, larger = whole["grids"]
    assert (first["seconds_low"], first["seconds"], first["seconds_high"]) == (1, 3, 5)
    assert (first["training"], first["measurements"]) == (1.5, 3)
    assert (first["peak_mib_all_processes"], larger["peak_mib_all_processes"]) == (500, 700)
    assert (larger["seconds"], larger["measurements"]) == (7, 1)
    # Extrapolated to 5 runs, without the starts of all processes but one.
    assert (whole["textbook"]["seconds"], whole["textbook"]["extrapolated"]) == (4 + 5 * 10, True)
    assert whole["faster"] == 18
    assert whole["faster_training_only"] == pytest.approx(50 / 1.5, rel=1e-2)
    assert any("10 cells" in line for line in said)
    ran.clear()
    time_grids(compas(tmp_path), tmp_path, CPU, replace(settings, rounds=9), said.append)
    assert [runs for runs in ran if isinstance(runs, tuple)] == [(1, threads)] * 4
