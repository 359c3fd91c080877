"""Score every explanation method on an experiment: ``python -m stages.explain compas_senn``."""

from pathlib import Path

import pandas as pd

from pipeline.core.files import write_csv
from pipeline.core.run import Run
from pipeline.core.stage import argument, run_stage
from pipeline.explanations.methods import METHODS
from pipeline.metrics.comparison import compare_methods
from pipeline.metrics.comparison_tables import curves_table, scores_table


def main() -> None:
    """Write ``reports/methods`` and ``reports/methods_curves`` (CSV)."""
    entry = argument("entry", __doc__)
    run = Run.of_workspace()
    params = run.params
    compared = compare_methods(run, entry)
    tables: dict[str, list[pd.DataFrame]] = {"methods": [], "methods_curves": []}
    for name, scores in compared.items():
        of_methods = scores_table(scores, METHODS, params.evaluate.bootstrap)
        for folder, table in zip(tables, (of_methods, curves_table(scores, METHODS)), strict=True):
            table.insert(0, "experiment", name)
            table.insert(1, "robust_reg", params.robust_reg)
            tables[folder].append(table)
    for folder, of_experiments in tables.items():
        write_csv(Path("reports", folder, f"{entry}.csv"), pd.concat(of_experiments))


if __name__ == "__main__":
    run_stage(main)
