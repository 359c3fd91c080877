"""Time the epochs of a training that is under way, and end it when that is enough."""

import time
from collections.abc import Callable
from typing import NamedTuple

import torch

from benchmarks.memory import peak_memory


class Enough(Exception):
    """Raised into a training loop to leave it: what was to be timed was timed."""


class Timing(NamedTuple):
    """`steps` were made in `seconds`; `peak` memory of the process (of the GPU) in bytes."""

    steps: int
    seconds: float
    peak: int
    threads: int


class Stopwatch:
    """What a training loop calls as its ``report(epoch, value)``.

    The first epoch is not timed: it warms caches and allocators up. After it the loop waits in
    `start`, in company for all others to be as far; after the first later epoch that ends when
    `seconds` have passed and `steps` were made, the loop is left by `Enough`.

    Parameters
    ----------
    epoch_steps : steps of an epoch.
    """

    def __init__(
        self,
        epoch_steps: int,
        device: torch.device,
        seconds: float,
        steps: int = 1,
        start: Callable[[], None] = lambda: None,
    ) -> None:
        self.epoch_steps, self.device, self.start = epoch_steps, device, start
        self.least_seconds, self.least_steps = seconds, steps
        self.begun, self.steps, self.seconds = 0.0, 0, 0.0

    def __call__(self, epoch: int, value: float) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        if epoch == 1:
            self.start()
            self.begun = time.perf_counter()
            return
        self.steps += self.epoch_steps
        self.seconds = time.perf_counter() - self.begun
        if self.seconds >= self.least_seconds and self.steps >= self.least_steps:
            raise Enough

    def timing(self) -> Timing:
        """What was measured; memory is that of the whole life of the process so far."""
        return Timing(self.steps, self.seconds, peak_memory(self.device), torch.get_num_threads())
