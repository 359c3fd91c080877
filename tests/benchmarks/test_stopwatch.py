import time

import pytest
import torch

from benchmarks.stopwatch import Enough, Stopwatch

CPU = torch.device("cpu")


@pytest.fixture
def clock(monkeypatch):
    """``clock.now``: the time, in seconds, which only the test moves."""

    class Clock:
        now = 100.0

    monkeypatch.setattr(time, "perf_counter", lambda: Clock.now)
    return Clock


def test_first_epoch_and_the_wait_after_it_are_not_timed(clock):
    def wait():
        clock.now += 50

    stopwatch = Stopwatch(19, CPU, seconds=5, start=wait)
    clock.now += 1000
    stopwatch(1, 0.5)
    for epoch in (2, 3):
        clock.now += 2
        stopwatch(epoch, 0.5)
    clock.now += 2
    with pytest.raises(Enough):
        stopwatch(4, 0.5)
    timing = stopwatch.timing()
    assert (timing.steps, timing.seconds) == (57, 6)
    assert timing.threads == torch.get_num_threads()


def test_enough_steps_are_waited_for(clock):
    stopwatch = Stopwatch(10, CPU, seconds=0, steps=25)
    stopwatch(1, 0.5)
    stopwatch(2, 0.5)
    stopwatch(3, 0.5)
    with pytest.raises(Enough):
        stopwatch(4, 0.5)
    assert stopwatch.timing().steps == 30
