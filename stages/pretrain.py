"""Pretrain one β-VAE per seed: ``python -m stages.pretrain``."""

from pathlib import Path

from pipeline.core.device import choose_device
from pipeline.core.files import write_csv
from pipeline.core.params import load_params
from pipeline.core.stage import run_stage
from pipeline.training.pretrain import Pretraining, pretrain_all


def main() -> None:
    """Write ``models/vae/`` and ``reports/curves/vae.csv``."""
    params = load_params(Path("params.yaml"))
    data = Path("data/prepared", params.pretrain.dataset)
    job = Pretraining(params, choose_device(params.device), data, Path("models/vae"))
    write_csv(Path("reports/curves/vae.csv"), pretrain_all(job))


if __name__ == "__main__":
    run_stage(main)
