"""How the pipeline grows with the number of cells: `dvc repro` of COMPAS grids of 100 and more.

    python -m benchmarks.scale      # 100, 1,000, 10,000 cells; writes benchmarks/results/scale.csv

The grid is five λ and as many seeds as it takes. To try 10,000 models within minutes they train for
`EPOCHS` epochs and are measured at few points; what is looked for is whether a cell costs more when
there are more of them. Each grid runs in a clone of its own, with an empty cell store.
"""

import argparse
import tempfile
from pathlib import Path

import pandas as pd
import yaml

from benchmarks import commands
from benchmarks.measure import COMPAS, LAMBDAS, MIB, of_what_there_is, peak_of_children
from benchmarks.report import warn_if_busy
from pipeline.core.files import write_csv
from pipeline.core.params import load_params
from pipeline.core.stage import run_stage

RESULTS = Path(__file__).parent / "results/scale.csv"
COUNTS = (100, 1_000, 10_000)
EPOCHS, ANCHORS = 10, 20


def main() -> None:
    """Print a row per grid and stage, and write them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--cells", type=int, nargs="+", default=COUNTS, help="multiples of 5")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    warn_if_busy()
    rows = []
    for count in options.cells:
        with tempfile.TemporaryDirectory(prefix="senn-scale-") as scratch:
            rows.append(time_grid(Path(scratch), count))
        print(rows[-1].to_string(index=False, float_format="%.3g"), flush=True)
        write_csv(options.output, pd.concat(rows).round(4))


def time_grid(scratch: Path, cells: int) -> pd.DataFrame:
    """Run all stages for a grid of so many cells.

    Returns
    -------
    One row per stage: cells, stage, seconds, ms_per_cell, and the most memory that all processes
    below this one had at a time during the whole run, peak_mib.
    """
    params = scratch / "params.yaml"
    params.write_text(yaml.safe_dump(grid_params(cells), sort_keys=False), encoding="utf-8")
    with peak_of_children() as totals:
        timed = commands.time_commands(scratch / "clone", params, commands.COMMANDS[:1])
    timed["ms_per_cell"] = 1000 * timed["seconds"] / cells
    timed.insert(0, "cells", cells)
    timed["peak_mib"] = round(max(totals, default=0) / MIB)
    return timed.drop(columns="command")


def grid_params(cells: int) -> dict[str, object]:
    """The committed params, with COMPAS alone and a grid of so many cells."""
    params = load_params(commands.REPOSITORY / "params.yaml").model_dump(mode="json")
    few = {"anchors": ANCHORS, "lipschitz_local_steps": 5, "bootstrap": 1000}
    params["evaluate"] |= few
    # What SENN on a table does not need, as small as it gets.
    params["vae"] |= {"hidden_sizes": [2]}
    params["pretrain"] |= {"dataset": "compas", "pretrain_epochs": 1}
    params["tokenizer"] |= {"documents": 30, "seeds": [1], "examples": 2}
    params["datasets"] = ["compas", params["tokenizer"]["dataset"]]
    params = of_what_there_is(params | {"experiments": {COMPAS: params["experiments"][COMPAS]}})
    params["study"][COMPAS] |= {"variants": ["paper2018"], "seeds": [1, 2], "anchors": 2}
    params["experiments"][COMPAS] |= {"epochs": EPOCHS, "lambda_grid": None, "seeds": None}
    return params | {"lambda_grid": list(LAMBDAS), "seeds": list(range(cells // len(LAMBDAS)))}


if __name__ == "__main__":
    run_stage(main)
