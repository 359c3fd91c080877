"""Digests of a few training steps of every experiment: ``python -m tests.training.few_steps``."""

import hashlib
import json
import tempfile
from pathlib import Path

import torch

from pipeline.core.cells import Cell
from pipeline.core.dataset import load_dataset
from tests.training.grids import EXPERIMENTS, settings, train, write_data

COMMITTED = Path(__file__).with_name("few_steps.json")


def digest(name: str) -> str:
    """MD5 of the weights of two cells of experiment `name` after an epoch of small steps."""
    keys = {"batch_size": 20, "eval_freq": 3, "epochs": 1, "lr": 0.01}
    params = settings({f"experiments.{name}.{key}": value for key, value in keys.items()})
    with tempfile.TemporaryDirectory() as folder:
        data = load_dataset(write_data(name, Path(folder)))
    trained = train([Cell(name, reg, 111) for reg in (1e-4, 1.0)], data, params)
    weights = (cell.weights[key] for cell in trained.values() for key in sorted(cell.weights))
    return hashlib.md5(b"".join(w.numpy().tobytes() for w in weights)).hexdigest()


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps({name: digest(name) for name in EXPERIMENTS}, indent=2))
