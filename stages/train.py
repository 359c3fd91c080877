"""Train an experiment's whole λ × seed grid: ``python -m stages.train compas_senn``."""

from pathlib import Path

import pandas as pd

from pipeline.core.device import choose_device
from pipeline.core.files import write_csv
from pipeline.core.params import load_params
from pipeline.core.stage import argument, run_stage
from pipeline.core.store import CellStore
from pipeline.training.engine import train_grid
from pipeline.training.task import Job


def main() -> None:
    """Write ``models/<experiment>/`` and ``reports/curves/<experiment>.csv``."""
    entry = argument("entry", __doc__)
    params = load_params(Path("params.yaml"))
    device, store = choose_device(params.device), CellStore.from_environment()
    curves = []
    for name in params.names_of(entry):
        data = Path("data/prepared", params.experiment(name).dataset)
        models = Path("models", params.group_of(name))
        job = Job(params, name, device, data, Path("models/vae"), models, store)
        curves.append(train_grid(job))
    write_csv(Path("reports/curves", f"{entry}.csv"), pd.concat(curves))


if __name__ == "__main__":
    run_stage(main)
