"""Is presets/paper.yaml what the review really ran? ``python -m benchmarks.as_run``.

Trains MNIST-SENN on all of MNIST for two epochs, with the preset and with one setting changed at a
time to what the review's config, or a plain trainer, would have done. Validation accuracies are
compared with the log that the review ships for λ = 1e-4 (seed 29). It validates on the same 6,000
images, so a log made with the same settings is one more seed's: it lies within the 95 % prediction
interval of a further seed, taken for all steps of the log at once.

Every seed's accuracies go to benchmarks/results/as_run.csv. MNIST is read from ``--data``/mnist, or
fetched and prepared as the stages do it (``SENN_DATA_MIRROR`` may have it). One CPU core takes two
minutes a seed and setting; trained cells are kept in benchmarks/work.
"""

import argparse
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from scipy import stats

from benchmarks.measure import MNIST, PAPER, REPOSITORY, changed
from benchmarks.report import in_words, machine, parser
from pipeline.core.dataset import FILE_NAME, save_dataset
from pipeline.core.device import choose_device
from pipeline.core.files import write_csv
from pipeline.core.params import load_params
from pipeline.core.run import Run
from pipeline.core.stage import run_stage
from pipeline.core.store import CellStore
from pipeline.data import mnist
from pipeline.data.sources import MIRROR_VARIABLE, fetch_all
from pipeline.training.engine import train_grids
from pipeline.training.task import Job

RESULTS = Path(__file__).parent / "results/as_run.csv"
ROBUST_REG, EPOCHS = 1e-4, 2
LOG = {100: 0.9498, 200: 0.9718, 300: 0.9727}  # validation accuracy by step, as shipped
SETTINGS: dict[str, dict[str, Any]] = {
    "as run": {},
    "dropout throughout": {"training_mode_until": "epoch_end"},
    "lr 0.0002": {"lr": 2e-4},
}
_SEEDS = (111, 333, 555)
_STORE_BYTES = 10**9


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, write every seed's accuracies, print what they say of the log."""
    options = _options(arguments)
    device = choose_device(options.device)
    prepared = options.data or _prepared(options.work / "data")
    tables = [train(name, options.seeds, device, prepared, options.work) for name in SETTINGS]
    accuracies = pd.concat(tables, ignore_index=True)
    write_csv(options.output, accuracies)
    print(f"{len(options.seeds)} seeds on {in_words(machine(device))}")
    print(summarise(accuracies).round(4).to_string(index=False))


def train(
    name: str, seeds: Sequence[int], device: torch.device, prepared: Path, work: Path
) -> pd.DataFrame:
    """Train under one of `SETTINGS`; a row a seed and validation: accuracy, training loss."""
    settings = {"epochs": EPOCHS, "lambda_grid": [ROBUST_REG], **SETTINGS[name]}
    changes = {f"experiments.{MNIST}.{key}": value for key, value in settings.items()}
    changes |= {"explain.seeds": 1, "seeds": list(seeds), "robust_reg": ROBUST_REG}
    store, models = (
        CellStore(work / "store", _STORE_BYTES),
        work / "models" / name.replace(" ", "-"),
    )
    run = Run(changed(load_params(PAPER), changes), device, prepared, models, store)
    (curves,) = train_grids([Job(run, MNIST)])
    columns = ["seed", "step", "valid_accuracy", "train_classification"]
    return curves[columns].assign(settings=name)[["settings", *columns]]


def summarise(accuracies: pd.DataFrame) -> pd.DataFrame:
    """One row per settings and step of the log: mean and standard deviation over seeds,
    the prediction interval of a further seed, and whether the log is `within` it.

    The interval is mean ± t · sd · √(1 + 1/n) of n seeds. All steps of the log lie in theirs with
    at least 95 % (Bonferroni): a single one's level is 1 − 0.05 / steps.

    Parameters
    ----------
    accuracies : a row a setting, seed and step; at least two seeds.
    """
    rows = []
    for (name, step), group in accuracies.groupby(["settings", "step"], sort=False):
        if step not in LOG:
            continue
        of_seeds = group["valid_accuracy"]
        seeds, mean, sd = len(of_seeds), of_seeds.mean(), of_seeds.std()
        quantile = stats.t.ppf(1 - 0.05 / len(LOG) / 2, seeds - 1)
        half = quantile * sd * (1 + 1 / seeds) ** 0.5
        row = {"settings": name, "step": step, "log": LOG[step], "seeds": seeds}
        row |= {"mean": mean, "sd": sd, "low": mean - half, "high": mean + half}
        rows.append(row | {"within": abs(LOG[step] - mean) <= half})
    return pd.DataFrame(rows)


def _prepared(folder: Path) -> Path:
    """The folder of prepared data in `folder`; fetches and prepares full MNIST if it is missing."""
    raw, prepared = folder / "raw/mnist", folder / "prepared"
    if not (prepared / "mnist" / FILE_NAME).exists():
        mirror = os.environ.get(MIRROR_VARIABLE)
        fetch_all(mnist.files(), raw, mirror, report=partial(print, flush=True))
        save_dataset(prepared / "mnist", mnist.prepare(raw, split_seed=0))
    return prepared


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    options = parser("benchmarks.as_run", __doc__)
    options.add_argument("--data", type=Path, help="folder of prepared data, with mnist/ in it")
    options.add_argument("--seeds", nargs="+", type=int, default=list(_SEEDS))
    options.add_argument("--work", type=Path, default=REPOSITORY / "benchmarks/work/as_run")
    options.add_argument("--output", type=Path, default=RESULTS)
    return options.parse_args(arguments)


if __name__ == "__main__":
    run_stage(main)
