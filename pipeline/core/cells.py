"""Cells: one (experiment, λ, seed) each, a model to train; their grid, and their rows."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.params import Params

if TYPE_CHECKING:  # those who make tables have imported it
    import pandas as pd


@dataclass(frozen=True, order=True)
class Cell:
    """One model to train: experiment, robustness strength λ, seed."""

    experiment: str
    robust_reg: float
    seed: int

    def __str__(self) -> str:
        return f"{self.experiment} λ={self.robust_reg:g} seed={self.seed}"

    def path(self, models: Path) -> Path:
        """``<models>/<experiment>/lambda=<λ>/seed=<seed>.safetensors``."""
        folder = models / self.experiment / f"lambda={self.robust_reg:g}"
        return folder / f"seed={self.seed}.safetensors"


def grid(params: Params, name: str) -> list[Cell]:
    """All cells of experiment `name`: its λ × its seeds, seed by seed."""
    return [Cell(name, reg, seed) for seed in params.seeds_of(name) for reg in params.lambdas(name)]


def rows_at(table: "pd.DataFrame", robust_reg: float) -> "pd.DataFrame":
    """The rows with λ = `robust_reg`, to the six digits that files of models are named with."""
    return table[table["robust_reg"].map("{:g}".format) == f"{robust_reg:g}"]
