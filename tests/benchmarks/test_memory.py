import os
import subprocess
import sys
import time

import pytest
import torch

from benchmarks import memory
from benchmarks.memory import MIB, TreePeak, available_memory, peak_memory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="read from /proc")

# A process that takes `size` MiB and gives them back, below one that only waits for it.
TAKE = "import sys, time; x = b'x' * (int(sys.argv[1]) * 2**20); del x; time.sleep(1)"
BELOW = (
    "import subprocess, sys; "
    "subprocess.run([sys.executable, '-c', sys.argv[1], sys.argv[2]], check=True)"
)


@pytest.fixture(autouse=True)
def no_other_children(monkeypatch):
    """What other tests have left running below this process does not count."""
    below = memory._below
    others = set(below(str(os.getpid())))
    monkeypatch.setattr(
        memory, "_below", lambda process: [child for child in below(process) if child not in others]
    )


def test_peak_of_this_process_is_remembered():
    before = peak_memory(torch.device("cpu"))
    size = before + 64 * MIB
    del before
    block = bytearray(size)  # more than there ever was, so that the peak must rise
    block[:: 2**12] = b"x" * len(block[:: 2**12])
    del block
    assert peak_memory(torch.device("cpu")) >= size


def test_peak_of_all_processes_below_counts_what_was_given_back():
    with TreePeak(interval=0.05) as watched:
        subprocess.run([sys.executable, "-c", BELOW, TAKE, "300"], check=True)
    assert 300 * MIB <= watched.peak < 400 * MIB


def test_processes_that_live_together_add_up():
    with TreePeak(interval=0.05) as watched:
        several = [subprocess.Popen([sys.executable, "-c", TAKE, "100"]) for _ in range(3)]
        for process in several:
            assert process.wait() == 0
    assert 300 * MIB <= watched.peak < 450 * MIB


def test_nothing_below():
    with TreePeak(interval=0.05) as watched:
        time.sleep(0.2)
    # multiprocessing leaves a helper behind where it was used before.
    assert watched.peak is None or watched.peak < 50 * MIB


def test_available_memory_is_read(tmp_path, monkeypatch):
    assert available_memory() > 100 * MIB
    assert memory._kilobytes(tmp_path / "missing", "MemAvailable") is None
