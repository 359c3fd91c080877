"""Every method on every model of the comparison."""

from collections.abc import Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.core.dataset import file_of, load_dataset, read_dataset
from pipeline.core.files import digest_of
from pipeline.core.inputs import File
from pipeline.core.params import Evaluate, Params, Rivals
from pipeline.core.store import CellStore
from pipeline.core.workers import Report
from pipeline.metrics.side_by_side import EXPLAINING, OFF, Kept, keys_of, side_by_side
from pipeline.models.cells import Cell, load_cell
from pipeline.models.layers import placed
from pipeline.rivals.measure import Subject, measure
from pipeline.rivals.methods import RIVALS, rivals_for

Values = dict[str, np.ndarray]
Measured = dict[str, list[Values]]
"""Per method, the `measure` of each seed's model."""

_CODE = (*EXPLAINING, "rivals/**/*.py")
_MEASURED_BY = ("lipschitz_concept_resolution", "lipschitz_discrete_radius",
                "lipschitz_local_radius", "lipschitz_local_restarts",
                "lipschitz_local_steps")  # fmt: skip


def compare(
    params: Params, device: torch.device, prepared: Path, models: Path, store: CellStore = OFF
) -> dict[str, Measured]:
    """What `measure` says of every method on every model, by experiment.

    Parameters
    ----------
    prepared, models : folders of the data sets and of the trained cells.
    store : has what was measured before.

    Raises
    ------
    PipelineError
        If the data or a cell is missing or damaged.
    """
    pairs = list(_pairs(params, prepared))
    data = {name: prepared / params.experiment(name).dataset for name in params.compared()}
    settings = params.rivals.model_dump(
        mode="json", exclude={"experiments", "robust_reg", "seeds", "image_seeds", "bootstrap"}
    ) | params.evaluate.model_dump(mode="json", include=set(_MEASURED_BY))
    files = {cell: cell.path(models / params.group_of(cell.experiment)) for cell, _ in pairs}
    digests = {cell: digest_of(file) for cell, file in files.items()}
    described = [
        {"cell": digests[cell], "method": method, "rivals": settings} for cell, method in pairs
    ]
    keys = keys_of(described, _CODE, [data[cell.experiment] for cell, _ in pairs], device)
    tasks = [(File(files[cell]), file_of(data[cell.experiment]), method) for cell, method in pairs]
    kept = Kept(store, keys, _to_json, _from_json)
    work = partial(_measure, params.rivals, params.evaluate, device)
    in_order = side_by_side("rivals", work, tasks, device, params.compute, None, kept)
    compared: dict[str, Measured] = {name: {} for name in params.compared()}
    for (cell, method), values in zip(pairs, in_order, strict=True):
        compared[cell.experiment].setdefault(method, []).append(values)
    return compared


def _pairs(params: Params, prepared: Path) -> Iterator[tuple[Cell, str]]:
    """Models and methods; the costliest, of images, first."""
    names = params.compared()
    data = {name: load_dataset(prepared / params.experiment(name).dataset) for name in names}
    for name in sorted(names, key=lambda name: data[name].kind != "images"):
        images = data[name].kind == "images"
        seeds = params.rivals.image_seeds if images else params.rivals.seeds
        for seed in params.seeds_of(name)[:seeds]:
            cell = Cell(name, params.rivals.robust_reg, seed)
            yield from ((cell, method) for method in rivals_for(images))


def _measure(
    settings: Rivals,
    evaluate: Evaluate,
    device: torch.device,
    task: tuple[File, File, str],
    report: Report,
) -> Values:
    """Measure one method on one model; runs in a worker."""
    cell, data, method = task
    return measure(RIVALS[method], _subject(cell, data, settings, evaluate, device))


@lru_cache(maxsize=1)
def _subject(
    cell: File, data: File, settings: Rivals, evaluate: Evaluate, device: torch.device
) -> Subject:
    """What all methods of a model share, made once in a worker."""
    model, _ = load_cell(cell)
    return Subject(placed(model, device), read_dataset(data).to(device), settings, evaluate)


def _to_json(values: Values) -> dict[str, list[float]]:
    return {name: one.tolist() for name, one in values.items()}


def _from_json(values: dict[str, list[float]]) -> dict[str, Any]:
    return {name: np.array(one) for name, one in values.items()}
