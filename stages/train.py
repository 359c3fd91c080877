"""Train an experiment's whole λ × seed grid: ``python -m stages.train compas_senn``."""

from pathlib import Path

import pandas as pd

from pipeline.core.files import write_csv
from pipeline.core.run import Run
from pipeline.core.stage import argument, run_stage
from pipeline.training.engine import train_grids
from pipeline.training.task import Job


def main() -> None:
    """Write ``models/<experiment>/`` and ``reports/curves/<experiment>.csv``."""
    entry, run = argument("entry", __doc__), Run.of_workspace()
    curves = train_grids([Job(run, name) for name in run.params.names_of(entry)])
    write_csv(Path("reports/curves", f"{entry}.csv"), pd.concat(curves))


if __name__ == "__main__":
    run_stage(main)
