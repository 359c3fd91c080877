"""Train under every definition of the robustness loss: ``python -m stages.study compas_senn``."""

from pathlib import Path

from pipeline.core.dataset import load_dataset
from pipeline.core.device import choose_device
from pipeline.core.files import write_csv
from pipeline.core.params import load_params
from pipeline.core.stage import argument, run_stage
from pipeline.core.store import CellStore
from pipeline.study.references import references
from pipeline.study.roundings import run_roundings
from pipeline.study.run import run_study


def main() -> None:
    """Write ``reports/study/<experiment>.csv`` and ``reports/roundings/<experiment>.csv``."""
    name = argument("experiment", __doc__)
    params = load_params(Path("params.yaml"))

    data = Path("data/prepared", params.experiment(name).dataset)
    device, store = choose_device(params.device), CellStore.from_environment()
    cells = run_study(params, name, device, data, store)
    beside = references(params.experiment(name), load_dataset(data))
    write_csv(Path("reports/study", f"{name}.csv"), cells.assign(**beside))
    roundings = run_roundings(params, name, device, data, store)
    write_csv(Path("reports/roundings", f"{name}.csv"), roundings)


if __name__ == "__main__":
    run_stage(main)
