"""Bracket and attack the headline models: ``python -m stages.worst_case``."""

from pathlib import Path

from pipeline.core.files import write_csv
from pipeline.core.run import Run
from pipeline.core.stage import run_stage
from pipeline.metrics.worst_case import measure_worst_case, worst_case_table


def main() -> None:
    """Write ``reports/worst_case/<entry>.csv``."""
    run = Run.of_workspace()
    for entry, results in measure_worst_case(run).items():
        table = worst_case_table(results, run.params.evaluate.bootstrap)
        write_csv(Path("reports/worst_case", f"{entry}.csv"), table)


if __name__ == "__main__":
    run_stage(main)
