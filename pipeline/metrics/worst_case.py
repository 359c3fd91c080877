"""The worst that small changes of the input can do to the headline models.

Two measurements, each at several radii: the local Lipschitz constant of relevances, `found` and
`certified` (module `certified`) and, for tables, `exact` (`activation_patterns`); and, where
concepts are learned from images, the attack on them (`attacks`).
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pipeline.core.cells import Cell
from pipeline.core.dataset import Dataset
from pipeline.core.errors import PipelineError
from pipeline.core.files import File
from pipeline.core.kinds import kind_of
from pipeline.core.params import Attack, Certify, Params
from pipeline.core.run import Run
from pipeline.explanations.senn import relevances
from pipeline.metrics.activation_patterns import exact_constant
from pipeline.metrics.attacks import attack
from pipeline.metrics.batches import predict
from pipeline.metrics.certified import certified_constant, found_constant, jacobian_norm
from pipeline.metrics.intervals import estimate
from pipeline.metrics.measurement import EVALUATING, Measurement, Subject, dataset_on, drawn, each
from pipeline.metrics.stability import Box
from pipeline.models.layers import placed
from pipeline.models.senn import Senn
from pipeline.models.weights import load_cell

_COLUMNS = ["experiment", "robust_reg", "measure", "quantity", "radius",
            "value", "value_low", "value_high", "undefined", "seeds", "examples"]  # fmt: skip

Measured = dict[str, list[float]]  # per quantity one value an example


# What decides which tasks there are, and not what they measure.
_ELSEWHERE = {"experiments", "seeds", "radii", "table_radii", "image_radii"}


class Task(NamedTuple):
    """A cell to be measured: its certificate, or its attack, at some radii."""

    cell: Cell
    about: Literal["certify", "attack"]
    radii: tuple[float, ...]


class Result(NamedTuple):
    """What a task measured, per radius in the task's order."""

    task: Task
    at: list[Measured]


def worst_case(run: Run) -> Measurement[dict[str, list[Result]]]:
    """The measurement of all that is bounded and attacked of the headline models.

    It gathers the results by entry of params.yaml: none where nothing is bounded or attacked. The
    bootstrap has no part in it.
    """
    params = run.params
    tasks = [task for name in params.experiments for task in _tasks(params, name)]
    # Tables first: all their radii are one task, which searches for the exact constant.
    tasks.sort(key=lambda task: (-len(task.radii), task.about == "attack"))

    def line(index: int, measured: list[Measured]) -> str:
        radii = ", ".join(f"{radius:g}" for radius in tasks[index].radii)
        return f"{tasks[index].cell}: {tasks[index].about}, radius {radii}"

    subjects = []
    for task in tasks:
        settings = params.certify if task.about == "certify" else params.attack
        described = settings.model_dump(mode="json", exclude=_ELSEWHERE)
        protocol = {task.about: described, "radii": list(task.radii)}
        subjects.append(Subject.of(run, task.cell, protocol, (settings, task.radii)))

    def gather(measured: list[list[Measured]]) -> dict[str, list[Result]]:
        results: dict[str, list[Result]] = {entry: [] for entry in params.entries}
        for task, at in zip(tasks, measured, strict=True):
            results[params.entry_of(task.cell.experiment)].append(Result(task, at))
        return results

    work = each(partial(_measure, run.device))
    return Measurement("worst case", work, EVALUATING, subjects, gather, load=list, line=line)


def _tasks(params: Params, name: str) -> list[Task]:
    """What is measured of an experiment."""
    has_images = params.facts_of(params.experiment(name).dataset).kind == "images"
    certify, attack = params.certify, params.attack
    cells = [Cell(name, params.robust_reg, seed) for seed in params.seeds_of(name)]
    attacked = cells[: attack.seeds] if has_images else []
    certified = cells[: certify.seeds] if name in certify.experiments else []
    # Of images each radius is a task, since they take long, the largest longest.
    images = [(radius,) for radius in reversed(certify.image_radii)]
    parts = images if has_images else [certify.table_radii]
    return [
        *(Task(cell, "attack", attack.radii) for cell in attacked),
        *(Task(cell, "certify", radii) for cell in certified for radii in parts),
    ]


def worst_case_table(results: Sequence[Result], resamples: int) -> pd.DataFrame:
    """One row an experiment, quantity and radius: its `estimate`, the median over examples.

    Parameters
    ----------
    results : of one λ.
    resamples : of the bootstrap.
    """
    seeds: dict[tuple[str, float, str, str, float], list[list[float]]] = {}
    for (cell, about, radii), at in results:
        for radius, measured in zip(radii, at, strict=True):
            for quantity, values in measured.items():
                key: tuple[str, float, str, str, float]
                key = (cell.experiment, cell.robust_reg, about, quantity, radius)
                seeds.setdefault(key, []).append(values)
    rows = []
    for key in sorted(seeds):
        here, undefined = estimate(of_seeds := np.array(seeds[key]), "median", resamples)
        value = tuple(here.columns("value").values())
        rows.append((*key, *value, undefined, *of_seeds.shape))
    return pd.DataFrame(rows, columns=_COLUMNS)


def certify(
    model: Senn, data: Dataset, settings: Certify, radii: Sequence[float]
) -> list[Measured]:
    """The local Lipschitz constant of relevances, in boxes around test points, at each radius.

    `anchor` is ‖J_e‖₂ at the point itself; `intervals` is `certified` without linear bounds. Their
    `…_ratio` is over `exact` where that is known, else over `found`.
    """
    anchors = settings.image_anchors if data.kind == "images" else settings.table_anchors
    x = data.test.x[drawn(data.test, anchors).sort().values]
    target = predict(model, x)
    results: list[Measured] = []
    for radius in radii:
        box = Box.around(data, radius)
        # Where a small box has too many patterns for all points, a larger one has, too.
        undefined = results and all(map(math.isnan, results[-1].get("exact", [0.0])))
        branches = 0 if undefined else settings.branches
        results.append(_in_boxes(model, x, target, box, settings, branches))
    return results


def _in_boxes(
    model: Senn, x: Tensor, target: Tensor, box: Box, settings: Certify, branches: int
) -> Measured:
    measured = {
        "anchor": jacobian_norm(model, relevances, x, target, box),
        "found": found_constant(
            model, relevances, x, target, box, settings.steps, settings.restarts
        ),
    }
    try:
        measured["certified"], measured["intervals"] = certified_constant(model, x, target, box)
        if kind_of(x.shape[1:]) == "tables":
            measured["exact"] = exact_constant(model, x, target, box, measured["found"], branches)
    except PipelineError:  # of layers that are not known there
        pass
    known = measured["found"]
    if "exact" in measured:
        known = measured["exact"].where(measured["exact"].isfinite(), known)
    for name in ("certified", "intervals"):
        if name in measured:
            measured[f"{name}_ratio"] = (measured[name] / known).where(known > 0, torch.nan)
    return {name: values.tolist() for name, values in measured.items()}


def _measure(
    device: torch.device,
    cell: File,
    data_file: File,
    task: tuple[Certify | Attack, Sequence[float]],
) -> list[Measured]:
    """Do one task; runs in a worker."""
    settings, radii = task
    data = dataset_on(data_file, device)
    model = placed(load_cell(cell)[0], device)
    if isinstance(settings, Certify):
        return certify(model, data, settings, radii)
    attacked = attack(model, data, settings)
    return [
        {name: values[:, index].tolist() for name, values in attacked.items()}
        for index in range(len(radii))
    ]
