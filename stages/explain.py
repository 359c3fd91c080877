"""Score every explanation method on an experiment: ``python -m stages.explain compas_senn``."""

from pathlib import Path

from pipeline.core.device import choose_device
from pipeline.core.files import write_csv
from pipeline.core.params import load_params
from pipeline.core.stage import argument, run_stage
from pipeline.core.store import CellStore
from pipeline.explanations.methods import METHODS
from pipeline.metrics.comparison import compare_methods
from pipeline.metrics.comparison_tables import curves_table, scores_table


def main() -> None:
    """Write ``reports/methods`` and ``reports/methods_curves`` (CSV)."""
    name = argument("experiment", __doc__)
    params = load_params(Path("params.yaml"))

    data = Path("data/prepared", params.experiment(name).dataset)
    device, store = choose_device(params.device), CellStore.from_environment()
    scores = compare_methods(params, name, device, data, Path("models"), store)
    tables = {
        "methods": scores_table(scores, METHODS, params.evaluate.bootstrap),
        "methods_curves": curves_table(scores, METHODS),
    }
    for folder, table in tables.items():
        table.insert(0, "experiment", name)  # for the plots
        table.insert(1, "robust_reg", params.robust_reg)
        write_csv(Path("reports", folder, f"{name}.csv"), table)


if __name__ == "__main__":
    run_stage(main)
