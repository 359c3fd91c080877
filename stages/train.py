"""Train an experiment's whole λ × seed grid: ``python -m stages.train compas_senn``."""

from pathlib import Path

from pipeline.core.device import choose_device
from pipeline.core.files import write_csv
from pipeline.core.params import load_params
from pipeline.core.stage import argument, run_stage
from pipeline.core.store import CellStore
from pipeline.training.engine import train_grid
from pipeline.training.task import Job


def main() -> None:
    """Write ``models/<experiment>/`` and ``reports/curves/<experiment>.csv``."""
    name = argument("experiment", __doc__)
    params = load_params(Path("params.yaml"))
    job = Job(
        params,
        name,
        choose_device(params.device),
        data=Path("data/prepared", params.experiment(name).dataset),
        vaes=Path("models/vae"),
        models=Path("models"),
        store=CellStore.from_environment(),
    )
    write_csv(Path(f"reports/curves/{name}.csv"), train_grid(job))


if __name__ == "__main__":
    run_stage(main)
