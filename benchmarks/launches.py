"""How many kernels a training step, and metrics, launch on a GPU; counted without.

    python -m benchmarks.launches      # writes benchmarks/results/launches{,_metrics,_search}.csv

Every operation that computes counts as one: views and uninitialised memory do not. The code that is
counted is what a GPU runs, here on the CPU: training on small batches, all metrics of a model on
`TEST` images, in the batches of either, and the search for equation 5 of several models.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import pandas as pd
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.measure import MNIST, Problem, mnist
from pipeline.core.cells import Cell
from pipeline.core.dataset import Dataset, Split, load_dataset
from pipeline.explanations.senn import relevances
from pipeline.metrics.batches import capacity, predict
from pipeline.metrics.evaluation import Protocol, evaluate_cells
from pipeline.metrics.stability import (
    Box,
    Search,
    lipschitz_local,
    lipschitz_local_of_all,
    to_concepts,
)
from pipeline.models.building import Inputs, build_senn
from pipeline.models.layers import plain
from pipeline.models.senn import Senn
from pipeline.models.stacking import stacked_weights
from pipeline.training.batches import Batches, at_step, draw_batches, each_tensor
from pipeline.training.objectives import Objective
from pipeline.training.stepping import VmapStepping

RESULTS = Path(__file__).parent / "results"
CELLS = (1, 5, 15, 50)
BATCH = 4
TEST = 10_000  # images, as MNIST has


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
    (model,) = _untrained(problem, data)
    bank = [Cell(name, 0.1 * place, place % 3) for place in range(cells)]
    weights = stacked_weights([model] * cells, device)
    stepping = VmapStepping(model, weights, objective, bank, data, width)
    return stepping, {s: draw_batches(model, objective, s, 1, data.train) for s in stepping.seeds}


def _untrained(problem: Problem, data: Dataset, seeds: int = 1) -> list[Senn]:
    """The models of `problem` before training, one for each of so many seeds."""
    experiment = problem.params.experiment(problem.name)
    inputs = Inputs(data.input_shape, data.mean, data.std)
    return [
        build_senn(problem.name, experiment, problem.params.vae, inputs, seed)
        for seed in range(seeds)
    ]


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


def of_metrics() -> pd.DataFrame:
    """One row for the batches of a CPU and of a GPU: what all metrics of one model launch."""
    with TemporaryDirectory() as folder:
        problem = mnist(Path(folder), "cpu")
        data = load_dataset(problem.data)
    model, places = _untrained(problem, data)[0].eval(), torch.arange(TEST)
    test = Split(data.train.x[places % len(data.train)], places % len(data.class_names))
    data = replace(data, test=test)
    protocol, rows = Protocol.of(data, problem.params.evaluate), []
    for device in map(torch.device, ("cpu", "cuda")):
        times = capacity(device)
        there = patch("pipeline.metrics.batches.capacity", lambda _, times=times: times)
        with there, Launches() as counted:
            evaluate_cells([model], protocol)
        rows.append({"batches": device.type, "test": TEST, "launches": counted.count})
    return pd.DataFrame(rows)


def of_search() -> pd.DataFrame:
    """One row per number of models: what the search for equation 5 launches, one by one or at once.

    Relative to the concepts, at as many anchors as make a batch of `BATCH`.
    """
    with TemporaryDirectory() as folder:
        problem = mnist(Path(folder), "cpu")
        data, evaluate = load_dataset(problem.data), problem.params.evaluate
    search = Search(
        Box.around(data, evaluate.lipschitz_local_radius),
        evaluate.lipschitz_concept_resolution,
        evaluate.lipschitz_local_steps,
        evaluate.lipschitz_local_restarts,
    )
    x, rows = data.test.x[:BATCH], []
    for count in CELLS:
        models = [model.eval() for model in _untrained(problem, data, count)]
        targets = torch.stack([predict(model, x) for model in models])
        with Launches() as one_by_one:
            for model, target in zip(models, targets, strict=True):
                lipschitz_local(plain(model), relevances, x, target, to_concepts, search)
        with Launches() as at_once:
            lipschitz_local_of_all(
                models, relevances, x, targets, to_concepts, search, width=max(count, 2)
            )
        rows.append({"cells": count, "one_by_one": one_by_one.count, "at_once": at_once.count})
    return pd.DataFrame(rows)


if __name__ == "__main__":
    for name, count in (
        ("launches", table),
        ("launches_metrics", of_metrics),
        ("launches_search", of_search),
    ):
        counted = count()
        counted.to_csv(RESULTS / f"{name}.csv", index=False)
        print(counted.to_string(index=False))
