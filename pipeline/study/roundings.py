"""How much accuracy depends on rounding: the same cells, from initial weights moved by 1e-7."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import torch

from pipeline.core.dataset import load_dataset
from pipeline.core.params import Params
from pipeline.core.store import CellStore
from pipeline.metrics.evaluation import correct
from pipeline.models.cells import grid, load_cell
from pipeline.models.layers import placed
from pipeline.study.definitions import Definition, params_for
from pipeline.training.engine import train_grid
from pipeline.training.task import Job


def run_roundings(
    params: Params, name: str, device: torch.device, data: Path, store: CellStore
) -> pd.DataFrame:
    """Accuracy of experiment `name` as it is, and with its initial weights jittered.

    Under the loss of section `robustness`, over the study's λ and its first `rounding_seeds` seeds.

    Parameters
    ----------
    data : folder of the prepared data set.

    Returns
    -------
    One row a cell, by λ and seed: experiment, robust_reg, seed, accuracy, accuracy_jittered.
    """
    study = params.study_of(name)
    loss = Definition(params.robustness.variant, params.robustness.reduction)
    chosen = params_for(params, name, loss)
    chosen = chosen.model_copy(update={"seeds": study.seeds[: study.rounding_seeds]})
    cells = sorted(grid(chosen, name))
    test, accuracies = load_dataset(data).to(device).test, list[list[float]]()
    with TemporaryDirectory(prefix="senn-roundings-") as folder:
        for jittered in (False, True) if cells else ():
            print(f"roundings of {name}: {'jittered' if jittered else 'as they are'}", flush=True)
            models = Path(folder, str(jittered))
            job = Job(chosen, name, device, data, Path(folder, "vae"), models, store, jittered)
            train_grid(job)
            trained = [placed(load_cell(cell.path(models))[0], device) for cell in cells]
            accuracies.append([correct(model, test).double().mean().item() for model in trained])
    columns = ["experiment", "robust_reg", "seed", "accuracy", "accuracy_jittered"]
    keys = [(name, cell.robust_reg, cell.seed) for cell in cells]
    table = [(*key, *pair) for key, pair in zip(keys, zip(*accuracies, strict=True), strict=True)]
    return pd.DataFrame(table, columns=columns)
