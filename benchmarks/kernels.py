"""What a training step consists of on a GPU: its time by kernel, and how it grows with the bank.

    python -m benchmarks.kernels      # prints, and writes benchmarks/results/kernels.csv

The steps are those of MNIST-SENN with the paper's settings, recorded and replayed as in training.
"""

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.launches import vmap_stepping
from benchmarks.measure import Problem, mnist
from benchmarks.report import in_words, machine, significant
from pipeline.core.device import choose_device
from pipeline.core.errors import PipelineError
from pipeline.core.stage import run_stage

RESULTS = Path(__file__).parent / "results/kernels.csv"
WIDTHS = (1, 4, 16, 32)
STEPS = 20
_GIB = 2**30
_SHOWN = 12  # kernels that take longest


def main() -> None:
    """Time banks of all `WIDTHS`, and profile one of 16."""
    device = choose_device("auto")
    if device.type != "cuda":
        raise PipelineError("python -m benchmarks.kernels needs a GPU")
    print(in_words(machine(device)))
    with TemporaryDirectory() as folder:
        problem, rows = mnist(Path(folder), "cuda"), []
        for probes in ("exact", 1):
            one = problem.with_params({"robustness.probes": probes})
            rows += [{"probes": probes, **_timed(one, width, device)} for width in WIDTHS]
            print(f"probes {probes}, 16 cells:\n{_kernels(one, device).to_string(index=False)}")
    table = pd.DataFrame(rows)
    table.to_csv(RESULTS, index=False)
    print(table.to_string(index=False))


def _timed(problem: Problem, width: int, device: torch.device) -> dict[str, Any]:
    """Milliseconds a step, and a step and cell; the most memory allocated."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    stepping, batches = vmap_stepping(problem, width, width, device)
    steps = len(next(iter(batches.values())).examples)
    stepping.advance(batches, 0, steps, 0)
    torch.cuda.synchronize(device)
    epochs, begun = -(-STEPS // steps), time.perf_counter()
    for _ in range(epochs):
        stepping.advance(batches, 0, steps, 0)
    torch.cuda.synchronize(device)
    ms = 1000 * (time.perf_counter() - begun) / (epochs * steps)
    peak = torch.cuda.max_memory_allocated(device) / _GIB
    return {
        "cells": width,
        "ms_per_step": significant(ms),
        "ms_per_step_and_cell": significant(ms / width),
        "peak_gib": significant(peak),
    }


def _kernels(problem: Problem, device: torch.device) -> pd.DataFrame:
    """The kernels that take longest: milliseconds and launches a step."""
    stepping, batches = vmap_stepping(problem, 16, 16, device)
    stepping.advance(batches, 0, 3, 0)
    with profile(activities=[ProfilerActivity.CUDA]) as profiled:
        stepping.advance(batches, 0, 3, 0)
        torch.cuda.synchronize(device)
    found = sorted(profiled.key_averages(), key=lambda kernel: -kernel.self_device_time_total)
    rows = [
        {
            "ms": significant(kernel.self_device_time_total / 3000),
            "launches": kernel.count / 3,
            "kernel": kernel.key[:100],
        }
        for kernel in found[:_SHOWN]
    ]
    return pd.DataFrame(rows)


if __name__ == "__main__":
    run_stage(main)
