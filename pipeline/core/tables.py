"""Tables of results, read again."""

from pathlib import Path

import pandas as pd

from pipeline.core.errors import PipelineError


def read_table(path: Path) -> pd.DataFrame:
    """A CSV file that a stage wrote.

    Raises
    ------
    PipelineError
        If it is missing, or cannot be read.
    """
    try:
        return pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise PipelineError(
            f"cannot read {path}: {error}. `dvc repro` runs the stage that writes it."
        ) from error


def rows_at(table: pd.DataFrame, robust_reg: float) -> pd.DataFrame:
    """The rows with λ = `robust_reg`, to the six digits that files of models are named with."""
    return table[table["robust_reg"].map("{:g}".format) == f"{robust_reg:g}"]
