"""Score every explanation method on the headline models: ``python -m stages.explain``."""

from pathlib import Path

import pandas as pd

from pipeline.core.files import write_csv
from pipeline.core.run import Run
from pipeline.core.stage import run_stage
from pipeline.explanations.methods import METHODS
from pipeline.metrics.comparison import compare_methods
from pipeline.metrics.comparison_tables import curves_table, scores_table


def main() -> None:
    """Write ``reports/methods`` and ``reports/methods_curves``, ``<entry>.csv`` in each."""
    run = Run.of_workspace()
    params = run.params
    tables: dict[Path, list[pd.DataFrame]] = {}
    for name, scores in compare_methods(run).items():
        of_methods = scores_table(scores, METHODS, params.evaluate.bootstrap)
        of_folder = {"methods": of_methods, "methods_curves": curves_table(scores, METHODS)}
        for folder, table in of_folder.items():
            table.insert(0, "experiment", name)
            table.insert(1, "robust_reg", params.robust_reg)
            path = Path("reports", folder, f"{params.entry_of(name)}.csv")
            tables.setdefault(path, []).append(table)
    for folder in ("methods", "methods_curves"):  # even if nothing is compared
        Path("reports", folder).mkdir(parents=True, exist_ok=True)
    for path, of_experiments in tables.items():
        write_csv(path, pd.concat(of_experiments))


if __name__ == "__main__":
    run_stage(main)
