"""Train and measure an experiment under every definition of the robustness loss."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import torch

from pipeline.core.params import Params
from pipeline.core.store import CellStore
from pipeline.metrics.grid import evaluate, protocol_of
from pipeline.metrics.run import Run, Subject
from pipeline.models.cells import Cell, grid
from pipeline.study.definitions import Definition, definitions, params_for
from pipeline.training.engine import train_grid
from pipeline.training.task import Job

MEASURES = (
    "accuracy",
    "accuracy_low",
    "accuracy_high",
    "test_robustness_loss",
    "lipschitz_discrete",
    "lipschitz_local",
    "concept_sparsity",
    "constant_concepts",
    "cross_entropy_ratio",
    "selection_gain",
    "collapsed",
)


def run_study(
    params: Params, name: str, device: torch.device, data: Path, store: CellStore
) -> pd.DataFrame:
    """The study of experiment `name`; its models are kept in the cell `store` alone.

    Parameters
    ----------
    data : folder of the prepared data set.

    Returns
    -------
    One row a cell: experiment, variant, reduction, robust_reg, seed, then `MEASURES` as stage
    `evaluate` has them; definitions in the order of params.yaml, then by λ and seed.

    Raises
    ------
    PipelineError
        If the experiment is not in the study, the data do not fit the params, or a loss is not
        finite.
    """
    study = params.study_of(name)
    settings = params.evaluate.model_copy(update={"anchors": study.anchors})
    protocol = protocol_of(settings)
    cells: list[tuple[Definition, Cell]] = []
    with TemporaryDirectory(prefix="senn-study-") as folder:
        subjects = []
        for definition in definitions(study):
            print(f"study of {name}: {definition}", flush=True)
            defined = params_for(params, name, definition)
            models = Path(folder, "-".join(definition))
            train_grid(Job(defined, name, device, data, Path(folder, "vae"), models, store))
            trained = sorted(grid(defined, name))
            cells += [(definition, cell) for cell in trained]
            subjects += [Subject(cell.path(models), data, protocol) for cell in trained]
        print(f"study of {name}: measuring {len(subjects)} models", flush=True)
        run = Run(params, device, data.parent, Path(folder), store)
        rows = evaluate(f"measure {name}", run, settings, subjects)
    return pd.DataFrame(
        {
            "experiment": name,
            **definition._asdict(),
            "robust_reg": cell.robust_reg,
            "seed": cell.seed,
            **{measure: rows[index][measure] for measure in MEASURES},
        }
        for index, (definition, cell) in enumerate(cells)
    )
