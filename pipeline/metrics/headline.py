"""The headline metrics: a few numbers of the models that metrics and report speak of."""

import math
from pathlib import Path

import pandas as pd

from pipeline.core.cells import rows_at
from pipeline.core.errors import PipelineError
from pipeline.core.files import read_table


def headline_metrics(path: Path, robust_reg: float) -> dict[str, dict[str, float | int | None]]:
    """What `headline` says of each experiment in a table of λ that stage `evaluate` wrote.

    Raises
    ------
    PipelineError
        If the table cannot be read, or an experiment has no row for λ = `robust_reg`.
    """
    metrics = {}
    for name, rows in read_table(path).groupby("experiment", sort=False):
        if rows_at(rows, robust_reg).empty:
            raise PipelineError(
                f"{path}: no row of {name} for λ = {robust_reg:g}, the robust_reg of params.yaml. "
                "Run `dvc repro`."
            )
        metrics[str(name)] = headline(rows, robust_reg)
    return metrics


def headline(lambdas: pd.DataFrame, robust_reg: float) -> dict[str, float | int | None]:
    """The few numbers that `dvc metrics` and `dvc exp show` compare; None for undefined.

    All are of λ = `robust_reg`. `ci95` is half the width of the accuracy's 95 % interval;
    `faithfulness` is that of relevances, `faithfulness_relevance`, as in the paper's figure 3. Few
    and short, so that the table of `dvc metrics show` fits a terminal.

    Parameters
    ----------
    lambdas : the `lambda_table` of an experiment.
    """
    (row,) = rows_at(lambdas, robust_reg).to_dict("records")
    metrics = {
        "accuracy": row["accuracy"],
        "ci95": (row["accuracy_high"] - row["accuracy_low"]) / 2,
        "lipschitz_local": row["lipschitz_local"],
        "faithfulness": row["faithfulness_relevance"],
        "robustness_loss": row["robustness_loss"],
    }
    return {name: _json_number(value) for name, value in metrics.items()}


def _json_number(value: float | int) -> float | int | None:
    """`value` with 8 digits, as many as float32 has; None for NaN, which JSON lacks."""
    if isinstance(value, int):
        return value
    return None if math.isnan(value) else float(f"{value:.8g}")
