"""Measure the explanatory power of explanation methods on texts: ``python -m stages.power``."""

from pathlib import Path

from pipeline.core.files import write_csv
from pipeline.core.run import Run
from pipeline.core.stage import run_stage
from pipeline.metrics.word_power import measure_power, power_table


def main() -> None:
    """Write ``reports/text/power.csv``."""
    run = Run.of_workspace()
    params = run.params
    table = power_table(measure_power(run), params.evaluate.bootstrap)
    table.insert(1, "robust_reg", params.robust_reg)
    write_csv(Path("reports/text/power.csv"), table)


if __name__ == "__main__":
    run_stage(main)
