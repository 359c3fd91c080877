"""What a training step consists of on a GPU: its time by kernel (``python -m benchmarks.kernels``).

The steps are those of MNIST-SENN with the paper's settings, recorded and replayed as in training.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.launches import vmap_stepping
from benchmarks.measure import Problem, mnist
from benchmarks.report import in_words, machine, significant
from pipeline.core.device import choose_device
from pipeline.core.errors import PipelineError
from pipeline.core.stage import run_stage

_SHOWN = 12  # kernels that take longest


def main() -> None:
    """Profile a bank of 16, with the exact loss and with one probe."""
    device = choose_device("auto")
    if device.type != "cuda":
        raise PipelineError("python -m benchmarks.kernels needs a GPU")
    print(in_words(machine(device)))
    with TemporaryDirectory() as folder:
        problem = mnist(Path(folder), "cuda")
        for probes in ("exact", 1):
            one = problem.with_params({"robustness.probes": probes})
            print(f"probes {probes}, 16 cells:\n{_kernels(one, device).to_string(index=False)}")


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
