"""Measure explanations of the headline models: ``python -m stages.explain``."""

from pathlib import Path

import pandas as pd

from pipeline.core.files import write_csv
from pipeline.core.run import Run
from pipeline.core.stage import run_stage
from pipeline.metrics.comparison import Compared, comparison
from pipeline.metrics.measurement import measure_together
from pipeline.metrics.scores import curves_table, scores_table
from pipeline.metrics.word_power import power_table, word_power
from pipeline.metrics.worst_case import worst_case, worst_case_table


def main() -> None:
    """Write ``{methods,methods_curves,worst_case}/<entry>.csv`` and text/power.csv in reports/."""
    run = Run.of_workspace()
    resamples = run.params.evaluate.bootstrap
    # In one pool, so that no core waits between the three. The comparison ends with short tasks.
    worst, power, compared = measure_together(
        run, worst_case(run), word_power(run), comparison(run)
    )
    for entry, results in worst.items():
        table = worst_case_table(results, resamples)
        write_csv(Path("reports/worst_case", f"{entry}.csv"), table)
    table = power_table(power, resamples)
    table.insert(1, "robust_reg", run.params.robust_reg)
    write_csv(Path("reports/text/power.csv"), table)
    _write_comparison(run, compared)


def _write_comparison(run: Run, compared: Compared) -> None:
    tables: dict[Path, list[pd.DataFrame]] = {}
    for name, scores in compared.items():
        of_methods = scores_table(scores, run.params.evaluate.bootstrap)
        of_folder = {"methods": of_methods, "methods_curves": curves_table(scores)}
        for folder, table in of_folder.items():
            table.insert(0, "experiment", name)
            table.insert(1, "robust_reg", run.params.robust_reg)
            path = Path("reports", folder, f"{run.params.entry_of(name)}.csv")
            tables.setdefault(path, []).append(table)
    for folder in ("methods", "methods_curves"):  # even if nothing is compared
        Path("reports", folder).mkdir(parents=True, exist_ok=True)
    for path, of_experiments in tables.items():
        write_csv(path, pd.concat(of_experiments))


if __name__ == "__main__":
    run_stage(main)
