"""How many kernels a training step launches on a GPU, counted without one.

    python -m benchmarks.launches      # writes benchmarks/results/launches.csv

Every operation that computes counts as one: views and uninitialised memory do not. The code that is
counted is what a GPU runs, here on small batches on the CPU.
"""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.measure import MNIST, Problem, mnist
from pipeline.core.cells import Cell
from pipeline.core.dataset import load_dataset
from pipeline.models.building import Inputs, build_senn
from pipeline.models.stacking import stacked_weights
from pipeline.training.batches import Batches, at_step, draw_batches, each_tensor
from pipeline.training.objectives import Objective
from pipeline.training.stepping import VmapStepping

RESULTS = Path(__file__).parent / "results/launches.csv"
CELLS = (1, 5, 15, 50)
BATCH = 4


class Launches(TorchDispatchMode):
    """Counts operations while it is active."""

    count = 0

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        allocates = op.name().startswith(("aten::empty", "aten::new_empty", "aten::_unsafe_view"))
        self.count += op.namespace == "aten" and not (op.is_view or allocates)
        return op(*args, **(kwargs or {}))


def launches(problem: Problem, cells: int, width: int) -> int:
    """Of one step of a bank of `cells`, computed as `width`."""
    stepping, batches = vmap_stepping(problem, cells, width, torch.device("cpu"))
    drawn = each_tensor(
        lambda *seeds: torch.stack(seeds), *(at_step(batches[s], 0) for s in batches)
    )
    stepping.step(drawn)
    with Launches() as counted:
        stepping.step(drawn)
    return counted.count


def vmap_stepping(
    problem: Problem, cells: int, width: int, device: torch.device
) -> tuple[VmapStepping, dict[int, Batches]]:
    """A bank of `cells` of three seeds, and the first epoch's batches of each seed."""
    params, name = problem.params, problem.name
    experiment, data = params.experiment(name), load_dataset(problem.data).to(device)
    objective = Objective(experiment, params.robustness, params.vae)
    inputs = Inputs(data.input_shape, data.mean, data.std)
    model = build_senn(name, experiment, params.vae, inputs, seed=0)
    bank = [Cell(name, 0.1 * place, place % 3) for place in range(cells)]
    weights = stacked_weights([model] * cells, device)
    stepping = VmapStepping(model, weights, objective, bank, data, width)
    return stepping, {s: draw_batches(model, objective, s, 1, data.train) for s in stepping.seeds}


def table(cells: Sequence[int] = CELLS) -> pd.DataFrame:
    """One row per robustness loss and number of cells."""
    rows = []
    with TemporaryDirectory() as folder:
        problem = mnist(Path(folder), "cpu").with_params({f"experiments.{MNIST}.batch_size": BATCH})
        for probes in ("exact", 1):
            one = problem.with_params({"robustness.probes": probes})
            for count in cells:
                number = launches(one, count, max(count, 2))
                rows.append({"probes": probes, "cells": count, "launches": number})
    return pd.DataFrame(rows)


if __name__ == "__main__":
    counted = table()
    counted.to_csv(RESULTS, index=False)
    print(counted.to_string(index=False))
