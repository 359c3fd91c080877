"""Compare SENN with other methods, by the paper's protocol and a fair one: ``-m stages.rivals``."""

from pathlib import Path

from pipeline.core.files import write_csv
from pipeline.core.run import Run
from pipeline.core.stage import run_stage
from pipeline.metrics.measurement import measure
from pipeline.rivals.measure import rivals
from pipeline.rivals.tables import table


def main() -> None:
    """Write ``reports/rivals/<experiment>.csv``."""
    run = Run.of_workspace()
    params = run.params
    folder = Path("reports/rivals")
    folder.mkdir(parents=True, exist_ok=True)  # also where nothing is compared
    for name, measured in measure(run, rivals(run)).items():
        rows = table(measured, params.rivals.bootstrap)
        rows.insert(0, "experiment", name)
        rows.insert(1, "robust_reg", params.rivals.robust_reg)
        write_csv(folder / f"{name}.csv", rows)


if __name__ == "__main__":
    run_stage(main)
