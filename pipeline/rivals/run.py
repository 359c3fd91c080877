"""Every method on every model of the comparison."""

from collections.abc import Iterator
from functools import lru_cache, partial

import torch

from pipeline.core.cells import Cell
from pipeline.core.inputs import File
from pipeline.core.params import Evaluate, Params, Rivals
from pipeline.core.run import Run
from pipeline.metrics.measurement import EXPLAINING, Measurement, Subject, dataset_on, each
from pipeline.models.layers import placed
from pipeline.models.weights import load_cell
from pipeline.rivals.measure import Arena, measure
from pipeline.rivals.methods import RIVALS, rivals_for

Values = dict[str, list[float]]
Measured = dict[str, list[Values]]
"""Per method, the `measure` of each seed's model."""

_CODE = (*EXPLAINING, "rivals/**/*.py")
_MEASURED_BY = ("lipschitz_concept_resolution", "lipschitz_discrete_radius",
                "lipschitz_local_radius", "lipschitz_local_restarts",
                "lipschitz_local_steps")  # fmt: skip


def rivals(run: Run) -> Measurement[dict[str, Measured]]:
    """The measurement of every method on every model by `measure`; gathers them by experiment."""
    params = run.params
    settings = params.rivals.model_dump(
        mode="json", exclude={"experiments", "robust_reg", "seeds", "image_seeds", "bootstrap"}
    ) | params.evaluate.model_dump(mode="json", include=set(_MEASURED_BY))
    pairs = list(_pairs(params))
    subjects = [
        Subject.of(run, cell, {"method": method, "rivals": settings}, method)
        for cell, method in pairs
    ]

    def gather(measured: list[Values]) -> dict[str, Measured]:
        compared: dict[str, Measured] = {name: {} for name in params.compared()}
        for (cell, method), values in zip(pairs, measured, strict=True):
            compared[cell.experiment].setdefault(method, []).append(values)
        return compared

    work = each(partial(_measure, params.rivals, params.evaluate, run.device))
    return Measurement("rivals", work, _CODE, subjects, gather)


def _pairs(params: Params) -> Iterator[tuple[Cell, str]]:
    """Models and methods; the costliest, of images, first."""
    kinds = {
        name: params.facts_of(params.experiment(name).dataset).kind for name in params.compared()
    }
    for name in sorted(kinds, key=lambda name: kinds[name] != "images"):
        images = kinds[name] == "images"
        seeds = params.rivals.image_seeds if images else params.rivals.seeds
        for seed in params.seeds_of(name)[:seeds]:
            cell = Cell(name, params.rivals.robust_reg, seed)
            yield from ((cell, method) for method in rivals_for(images))


def _measure(
    settings: Rivals,
    evaluate: Evaluate,
    device: torch.device,
    cell: File,
    data: File,
    method: str,
) -> Values:
    """Measure one method on one model; runs in a worker."""
    return measure(RIVALS[method], _arena(cell, data, settings, evaluate, device))


@lru_cache(maxsize=1)
def _arena(
    cell: File, data: File, settings: Rivals, evaluate: Evaluate, device: torch.device
) -> Arena:
    """What all methods of a model share, made once in a worker."""
    model, _ = load_cell(cell)
    return Arena(placed(model, device), dataset_on(data, device), settings, evaluate)
