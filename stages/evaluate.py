"""Measure every trained model of an experiment: ``python -m stages.evaluate compas_senn``."""

from pathlib import Path

import pandas as pd

from pipeline.core.files import write_csv
from pipeline.core.run import Run
from pipeline.core.stage import argument, run_stage
from pipeline.metrics.evaluation import cells_table, evaluate_grids, lambda_table


def main() -> None:
    """Write ``reports/{cells,lambda}/<entry>.csv``."""
    entry = argument("entry", __doc__)
    run = Run.of_workspace()
    evaluations = evaluate_grids(run, entry)
    cells = {name: cells_table(measured) for name, measured in evaluations.items()}
    lambdas = {name: lambda_table(measured) for name, measured in evaluations.items()}
    write_csv(Path("reports/cells", f"{entry}.csv"), pd.concat(cells.values()))
    write_csv(Path("reports/lambda", f"{entry}.csv"), pd.concat(lambdas.values()))


if __name__ == "__main__":
    run_stage(main)
