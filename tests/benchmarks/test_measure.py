"""Real measurements, as short as possible; their values depend on the machine."""

import os
import subprocess
import sys
import time

import pytest
import torch

from benchmarks import measure
from benchmarks.measure import (
    COMPAS_EXAMPLES,
    MIB,
    PAPER,
    Enough,
    Run,
    Speed,
    Stopwatch,
    Timing,
    compas,
    in_fresh_process,
    mnist,
    peak_memory,
    peak_of_children,
    side_by_side,
    textbook_speed,
)
from pipeline.core.dataset import load_dataset
from pipeline.core.params import load_params
from pipeline.core.processes import cores
from pipeline.data.registry import prepare
from tests.training.grids import SMOKE

CPU = torch.device("cpu")
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="read from /proc")

# A process that takes so many MiB and gives them back, and one that only waits for another.
TAKE = "import sys, time; x = b'x' * (int(sys.argv[1]) * 2**20); del x; time.sleep(1)"
WAIT = (
    "import subprocess, sys; "
    "subprocess.run([sys.executable, '-c', sys.argv[1], sys.argv[2]], check=True)"
)


def test_compas_has_the_published_size(tmp_path, raw_data):
    prepared = prepare("compas", raw_data("compas"), 0, SMOKE.texts)
    sizes = [len(split) for split in (prepared.train, prepared.valid, prepared.test)]
    assert sizes == list(COMPAS_EXAMPLES)
    made_up = load_dataset(compas(tmp_path).data)
    assert [len(made_up.train), len(made_up.valid), len(made_up.test)] == sizes
    assert made_up.input_shape == prepared.train.x.shape[1:]


def test_settings_are_the_published_ones(tmp_path):
    published = load_params(PAPER)
    assert compas(tmp_path).params == published
    assert mnist(tmp_path, "cpu").params == published
    probes = compas(tmp_path).with_params({"robustness.probes": 1}).params
    assert probes.robustness.probes == 1
    assert probes.experiments == published.experiments


def test_images_of_other_classes_and_concepts(tmp_path):
    problem = mnist(tmp_path, "cpu", classes=3, concepts=7)
    experiment, data = problem.params.experiment(problem.name), load_dataset(problem.data)
    assert (experiment.num_classes, experiment.num_concepts) == (3, 7)
    assert set(data.train.y.tolist()) == {0, 1, 2}
    assert len(data.class_names) == 3
    assert len(data.train) % experiment.batch_size == 0


@pytest.fixture
def clock(monkeypatch):
    """``clock.now``: the time, in seconds, which only the test moves."""

    class Clock:
        now = 100.0

    monkeypatch.setattr(time, "perf_counter", lambda: Clock.now)
    return Clock


def test_first_epoch_and_the_wait_after_it_are_not_timed(clock):
    class Barrier:
        def wait(self, timeout):
            clock.now += 50

    stopwatch = Stopwatch(Run(None, CPU, seconds=5, warm=Barrier()), epoch_steps=19)
    clock.now += 1000
    stopwatch(1, 0.5)
    for epoch in (2, 3):
        clock.now += 2
        stopwatch(epoch, 0.5)
    clock.now += 2
    with pytest.raises(Enough):
        stopwatch(4, 0.5)
    assert (stopwatch.steps, stopwatch.seconds) == (57, 6)


def test_speed_adds_up_what_processes_do_at_the_same_time():
    timings = [Timing(10, 1.0, 5 * MIB, 1), Timing(30, 2.0, 7 * MIB, 1)]
    speed = Speed.of(timings, models=4)
    assert speed.ms == pytest.approx(1000 / (4 * (10 / 1.0 + 30 / 2.0)))
    assert (speed.peak, speed.processes, speed.threads) == (7 * MIB, 2, 1)


def test_textbook_alone_with_a_thread_for_each_core_or_one(tmp_path, monkeypatch):
    timings: list[Timing] = []

    def noted(work, runs):
        timings.extend(in_fresh_process(work, runs))
        return timings

    monkeypatch.setattr(measure, "in_fresh_process", noted)
    speed = textbook_speed(compas(tmp_path), CPU, seconds=0.01)
    assert [timing.threads for timing in timings] == sorted({1, cores()}, reverse=True)
    for timing in timings:
        assert timing.steps > 0 and timing.steps % 19 == 0, "whole epochs of 19 steps"
    assert speed.processes == 1
    assert 0.01 < speed.ms < 1000
    assert 50 * MIB < speed.peak < 2000 * MIB


def test_textbook_is_timed_with_what_is_faster(tmp_path, monkeypatch):
    timings = [Timing(10, 2.0, MIB, 2), Timing(10, 1.0, MIB, 1)]
    monkeypatch.setattr(measure, "in_fresh_process", lambda work, runs: timings)
    speed = textbook_speed(compas(tmp_path), CPU, seconds=0.01)
    assert (speed.ms, speed.threads) == (100, 1)


def test_banks_and_single_models_run_one_per_core_on_one_thread(tmp_path):
    problem = compas(tmp_path)
    one = side_by_side(problem, CPU, 0.01)
    bank = side_by_side(problem, CPU, 0.01, 6)
    for speed in (one, bank):
        assert (speed.processes, speed.threads) == (cores(), 1)
    assert 0.0001 < bank.ms < 1000


def test_probes_and_width_reach_the_bank(tmp_path, monkeypatch):
    """The training that is timed has the settings asked for."""
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
    problem = mnist(tmp_path, "cpu").with_params({"robustness.probes": 1})
    side_by_side(problem, CPU, 0.0, 15)
    ((bank, objective, data),) = seen
    assert len(bank) == len({(cell.seed, cell.robust_reg) for cell in bank}) == 15
    assert objective.robustness.probes == 1
    assert objective.robustness.variant == "review2020"
    assert len(data.train) // objective.experiment.batch_size == measure.MNIST_STEPS["cpu"]


@on_linux
def test_peak_of_this_process_is_remembered():
    before = peak_memory(CPU)
    size = before + 64 * MIB
    block = bytearray(size)  # more than there ever was, so that the peak must rise
    block[:: 2**12] = b"x" * len(block[:: 2**12])
    del block
    assert peak_memory(CPU) >= size


@pytest.fixture
def no_other_children(monkeypatch):
    """What other tests have left running below this process does not count."""
    descendants = measure._descendants
    others = set(descendants(str(os.getpid())))
    monkeypatch.setattr(
        measure,
        "_descendants",
        lambda process: [p for p in descendants(process) if p not in others],
    )


@on_linux
@pytest.mark.usefixtures("no_other_children")
def test_peak_of_children_counts_what_was_given_back():
    with peak_of_children(interval=0.05) as totals:
        subprocess.run([sys.executable, "-c", WAIT, TAKE, "300"], check=True)
    assert 300 * MIB <= max(totals) < 400 * MIB


@on_linux
@pytest.mark.usefixtures("no_other_children")
def test_processes_that_live_together_add_up():
    with peak_of_children(interval=0.05) as totals:
        several = [subprocess.Popen([sys.executable, "-c", TAKE, "100"]) for _ in range(3)]
        for process in several:
            assert process.wait() == 0
    assert 300 * MIB <= max(totals) < 450 * MIB


@on_linux
@pytest.mark.usefixtures("no_other_children")
def test_no_children():
    with peak_of_children(interval=0.05) as totals:
        time.sleep(0.2)
    # A helper process may be left from earlier uses of multiprocessing.
    assert max(totals, default=0) < 50 * MIB
