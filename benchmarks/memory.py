"""Peak memory: of this process, of a GPU, of everything that runs below this process."""

import gc
import os
import resource
import sys
import threading
from pathlib import Path
from types import TracebackType

import torch

MIB = 2**20


def peak_memory(device: torch.device) -> int:
    """Bytes: the largest resident set of this process, or what torch allocated at most on a GPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if (peak := _high_water("self")) is not None:
        return peak
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def forget_peak(device: torch.device) -> None:
    """Begin a new peak on a GPU; on the CPU a peak is its process's, for ever."""
    if device.type == "cuda":
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def available_memory() -> int | None:
    """Bytes that can be had without swapping; None where the system does not say."""
    return _kilobytes(Path("/proc/meminfo"), "MemAvailable")


class TreePeak:
    """While the context lasts, watch all processes below this one; `peak` is their memory, bytes.

    The sum, over processes that live at the same time, of the largest resident set each has had:
    never less than their true peak, for what they share counts for each of them. None where there
    is no ``/proc``.
    """

    def __init__(self, interval: float = 0.1) -> None:
        self.interval = interval
        self.peak: int | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "TreePeak":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(self.interval):
            total = sum(_high_water(process) or 0 for process in _below(str(os.getpid())))
            if total:
                self.peak = max(total, self.peak or 0)


def _below(process: str) -> list[str]:
    """Ids of the processes that `process` started, and that those started."""
    children = []
    for file in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            children += file.read_text().split()
        except OSError:  # gone meanwhile
            continue
    return children + [other for child in children for other in _below(child)]


def _high_water(process: str) -> int | None:
    return _kilobytes(Path(f"/proc/{process}/status"), "VmHWM")


def _kilobytes(file: Path, key: str) -> int | None:
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return None
    found = [int(line.split()[1]) for line in lines if line.startswith(f"{key}:")]
    return found[0] * 1024 if found else None
