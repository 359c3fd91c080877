"""Train under every definition of the robustness loss: ``python -m stages.study compas_senn``."""

from pathlib import Path

from pipeline.core.dataset import load_dataset
from pipeline.core.files import write_csv
from pipeline.core.run import Run
from pipeline.core.stage import argument, run_stage
from pipeline.metrics.baselines import references
from pipeline.study.run import run_study


def main() -> None:
    """Write ``reports/study/<experiment>.csv`` and ``reports/roundings/<experiment>.csv``."""
    name, run = argument("experiment", __doc__), Run.of_workspace()
    cells, roundings = run_study(run, name)
    beside = references(run.params.experiment(name), load_dataset(run.data_of(name)))
    write_csv(Path("reports/study", f"{name}.csv"), cells.assign(**beside))
    write_csv(Path("reports/roundings", f"{name}.csv"), roundings)


if __name__ == "__main__":
    run_stage(main)
