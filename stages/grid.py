"""Write down which models each experiment has: ``python -m stages.grid``."""

from pathlib import Path

import pandas as pd

from pipeline.core.cells import grid
from pipeline.core.files import write_csv
from pipeline.core.params import load_params
from pipeline.core.stage import run_stage


def main() -> None:
    """Write ``data/grid/<experiment>.csv``, one row a cell: experiment, robust_reg, seed."""
    params = load_params()
    for entry in dict.fromkeys(map(params.entry_of, params.experiments)):
        cells = [cell for name in params.names_of(entry) for cell in grid(params, name)]
        write_csv(Path("data/grid", f"{entry}.csv"), pd.DataFrame(cells))
        print(f"{entry}: {len(cells)} models")


if __name__ == "__main__":
    run_stage(main)
