"""Measure every trained model of an experiment: ``python -m stages.evaluate compas_senn``."""

from pathlib import Path

from pipeline.core.device import choose_device
from pipeline.core.files import write_csv, write_json
from pipeline.core.params import load_params
from pipeline.core.stage import argument, run_stage
from pipeline.core.store import CellStore
from pipeline.metrics.grid import cells_table, evaluate_grid, headline, lambda_table


def main() -> None:
    """Write ``reports/cells``, ``reports/lambda`` (CSV) and ``reports/metrics`` (JSON)."""
    name = argument("experiment", __doc__)
    params = load_params(Path("params.yaml"))

    data = Path("data/prepared", params.experiment(name).dataset)
    device, store = choose_device(params.device), CellStore.from_environment()
    evaluations = evaluate_grid(params, name, device, data, Path("models"), store)
    lambdas = lambda_table(evaluations)
    write_csv(Path("reports/cells", f"{name}.csv"), cells_table(evaluations))
    write_csv(Path("reports/lambda", f"{name}.csv"), lambdas)
    write_json(Path("reports/metrics", f"{name}.json"), headline(lambdas, params.robust_reg))


if __name__ == "__main__":
    run_stage(main)
