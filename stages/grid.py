"""List the models of each experiment, λ × seed: ``python -m stages.grid``."""

from pathlib import Path

import pandas as pd

from pipeline.core.cells import grid
from pipeline.core.files import write_csv
from pipeline.core.params import load_params
from pipeline.core.stage import run_stage


def main() -> None:
    """Write ``data/grid/<entry>.csv``, one row a cell: experiment, robust_reg, seed."""
    params = load_params()
    for entry, names in params.entries.items():
        cells = [cell for name in names for cell in grid(params, name)]
        write_csv(Path("data/grid", f"{entry}.csv"), pd.DataFrame(cells).astype(str))  # λ exactly
        print(f"{entry}: {len(cells)} models")


if __name__ == "__main__":
    run_stage(main)
