"""The headline metrics: a few numbers of the models that metrics and report speak of."""

from pathlib import Path

import pandas as pd

from pipeline.core.errors import PipelineError
from pipeline.core.files import json_number


def headline_metrics(path: Path, robust_reg: float) -> dict[str, dict[str, float | int | None]]:
    """What `headline` says of each experiment in a table of λ that stage `evaluate` wrote.

    Raises
    ------
    PipelineError
        If the table cannot be read, or an experiment has no row for λ = `robust_reg`.
    """
    try:
        lambdas = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise PipelineError(
            f"cannot read {path}: {error}. `dvc repro` runs the stage that writes it."
        ) from error
    of_experiments = {str(name): rows for name, rows in lambdas.groupby("experiment", sort=False)}
    for name, rows in of_experiments.items():
        if not _is_at(rows, robust_reg).any():
            raise PipelineError(
                f"{path}: no row of {name} for λ = {robust_reg:g}, the robust_reg of params.yaml. "
                "Run `dvc repro`."
            )
    return {name: headline(rows, robust_reg) for name, rows in of_experiments.items()}


def headline(lambdas: pd.DataFrame, robust_reg: float) -> dict[str, float | int | None]:
    """The few numbers that `dvc metrics` and `dvc exp show` compare; None for undefined.

    All are of λ = `robust_reg`, but for `accuracy_at_lambda_max`, the accuracy at the largest λ.
    `accuracy_half_width` is half the width of the 95 % interval. `faithfulness` is that of
    relevances, `faithfulness_relevance`, as in the paper's figure 3.

    Parameters
    ----------
    lambdas : the `lambda_table` of an experiment.
    """
    (row,) = lambdas[_is_at(lambdas, robust_reg)].to_dict("records")
    metrics = {
        "accuracy": row["accuracy"],
        "accuracy_half_width": (row["accuracy_high"] - row["accuracy_low"]) / 2,
        "lipschitz_local": row["lipschitz_local"],
        "faithfulness": row["faithfulness_relevance"],
        "test_robustness_loss": row["test_robustness_loss"],
        "cross_entropy": row["cross_entropy"],
        "accuracy_at_lambda_max": lambdas["accuracy"].iloc[-1],
    }
    return {name: json_number(value) for name, value in metrics.items()}


def _is_at(lambdas: pd.DataFrame, robust_reg: float) -> pd.Series:
    """Whether a row is of λ = `robust_reg`, to the digits that files of models are named with."""
    return lambdas["robust_reg"].map("{:g}".format) == f"{robust_reg:g}"
