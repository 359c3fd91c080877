"""Pretrain one β-VAE per seed: ``python -m stages.pretrain``."""

from pathlib import Path

from pipeline.core.files import write_csv
from pipeline.core.run import Run
from pipeline.core.stage import run_stage
from pipeline.training.pretrain import pretrain_all


def main() -> None:
    """Write ``models/vae/`` and ``reports/curves/vae.csv``."""
    write_csv(Path("reports/curves/vae.csv"), pretrain_all(Run.of_workspace()))


if __name__ == "__main__":
    run_stage(main)
