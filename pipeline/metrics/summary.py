"""Tables of metrics: one row a cell, one row a λ, and the headline λ as a flat mapping."""

from collections.abc import Mapping

import pandas as pd

from pipeline.metrics.evaluation import Row
from pipeline.metrics.intervals import accuracy_interval
from pipeline.metrics.json_numbers import json_number
from pipeline.training.cells import Cell


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
        if accuracy := accuracy_interval(metrics):
            over_seeds |= {"accuracy_low": accuracy.low, "accuracy_high": accuracy.high}
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


def headline(lambdas: pd.DataFrame, robust_reg: float) -> dict[str, float | int | None]:
    """The row of `lambda_table` at λ = `robust_reg`, flat, as JSON takes it: None for undefined.

    `accuracy_at_lambda_min` and `accuracy_at_lambda_max` are those at the ends of the grid.
    """
    (row,) = lambdas[lambdas["robust_reg"] == robust_reg].to_dict("records")
    del row["experiment"]
    row["accuracy_at_lambda_min"] = lambdas["accuracy"].iloc[0]
    row["accuracy_at_lambda_max"] = lambdas["accuracy"].iloc[-1]
    return {str(name): json_number(value) for name, value in row.items()}


def _over_seeds(values: pd.Series) -> float:
    return values.max() if str(values.name).endswith("_max") else values.mean()
