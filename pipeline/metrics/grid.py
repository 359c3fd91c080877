"""Every cell of an experiment's grid, measured and put into tables.

One row a cell, and one row a λ.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

import pandas as pd
import torch

from pipeline.core.cells import Cell, grid
from pipeline.core.inputs import File
from pipeline.core.params import Evaluate
from pipeline.core.run import Run
from pipeline.metrics.batches import capacity
from pipeline.metrics.collapse import selection
from pipeline.metrics.evaluation import Protocol, Row, evaluate_cells, prepare_protocol
from pipeline.metrics.intervals import accuracy_interval
from pipeline.metrics.measurement import (
    EVALUATING,
    Files,
    Measurement,
    Subject,
    dataset_on,
    measure,
)
from pipeline.models.layers import placed
from pipeline.models.weights import load_cell


def evaluate_grids(run: Run, entry: str) -> dict[str, dict[Cell, Row]]:
    """Evaluate all cells of the experiments that `entry` of params.yaml stands for.

    Returns
    -------
    What was measured of each cell, by experiment.

    Raises
    ------
    PipelineError
        If the data or a cell is missing or damaged.
    """
    names = run.params.names_of(entry)
    cells = [cell for name in names for cell in grid(run.params, name)]

    def line(index: int, row: Row) -> str:
        return f"{cells[index]}: test accuracy {row['accuracy']:.4f}"

    protocol = protocol_of(run.params.evaluate)
    subjects = [Subject.of(run, cell, protocol) for cell in cells]
    rows = evaluate(f"evaluate {entry}", run, run.params.evaluate, subjects, line)
    measured = dict(zip(cells, rows, strict=True))
    return {
        name: {cell: row for cell, row in measured.items() if cell.experiment == name}
        for name in names
    }


def evaluate(
    title: str,
    run: Run,
    settings: Evaluate,
    subjects: Sequence[Subject],
    line: Callable[[int, Row], str] | None = None,
) -> list[Row]:
    """Evaluate cells, whose protocol is `protocol_of` the settings."""
    work = partial(_evaluate, settings, run.device)
    together = capacity(run.device)
    measurement = Measurement(title, work, EVALUATING, subjects, list, line=line, together=together)
    return measure(run, measurement)


def protocol_of(settings: Evaluate) -> dict[str, Any]:
    """What a cell's row follows from besides cell, data and code; not from the bootstrap."""
    return {"evaluate": settings.model_dump(mode="json", exclude={"bootstrap"})}


def cells_table(evaluations: Mapping[Cell, Row]) -> pd.DataFrame:
    """One row a cell, by λ and seed: experiment, robust_reg, seed, then the metrics."""
    rows = [
        {"experiment": cell.experiment, "robust_reg": cell.robust_reg, "seed": cell.seed}
        | evaluations[cell]
        for cell in sorted(evaluations)
    ]
    return pd.DataFrame(rows)


def lambda_table(evaluations: Mapping[Cell, Row]) -> pd.DataFrame:
    """One row a λ, ascending: experiment, robust_reg, how many seeds, then the metrics over seeds.

    Every metric, counts too, is the mean over the seeds at which it is defined, but for ``…_max``,
    the largest. `accuracy_std` is the sample standard deviation over seeds, undefined (NaN) with
    one seed; `accuracy_low` and `accuracy_high` are `accuracy_interval`, with one seed that over
    test examples.

    Parameters
    ----------
    evaluations : cells of one experiment, each λ with the same seeds.
    """
    rows = []
    for robust_reg in sorted({cell.robust_reg for cell in evaluations}):
        cells = sorted(cell for cell in evaluations if cell.robust_reg == robust_reg)
        metrics = pd.DataFrame([evaluations[cell] for cell in cells])
        over_seeds = {str(name): _over_seeds(values) for name, values in metrics.items()}
        _, over_seeds["accuracy_low"], over_seeds["accuracy_high"] = accuracy_interval(metrics)
        rows.append(
            {
                "experiment": cells[0].experiment,
                "robust_reg": robust_reg,
                "seeds": len(cells),
                "accuracy": over_seeds.pop("accuracy"),
                "accuracy_std": metrics["accuracy"].std(ddof=1),
            }
            | over_seeds
        )
    return pd.DataFrame(rows)


def _over_seeds(values: pd.Series) -> float:
    return values.max() if str(values.name).endswith("_max") else values.mean()


def _evaluate(settings: Evaluate, device: torch.device, models: Sequence[Files]) -> list[Row]:
    """Evaluate cells of one experiment; runs in a worker."""
    protocol = _protocol(models[0][1], settings, device)
    loaded = [load_cell(cell) for cell, _, _ in models]
    rows = evaluate_cells([placed(model, device) for model, _ in loaded], protocol)
    return [
        row | selection(metadata, protocol.data.valid)
        for row, (_, metadata) in zip(rows, loaded, strict=True)
    ]


@lru_cache(maxsize=1)
def _protocol(data: File, settings: Evaluate, device: torch.device) -> Protocol:
    """The protocol of an experiment, made once in a worker."""
    return prepare_protocol(dataset_on(data, device), settings)
