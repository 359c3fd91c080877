"""Train and measure an experiment under every definition of the robustness loss."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from pipeline.core.cells import Cell
from pipeline.core.dataset import load_dataset
from pipeline.core.run import Run
from pipeline.metrics.evaluation import correct, evaluate
from pipeline.models.layers import placed
from pipeline.models.weights import load_cell
from pipeline.study.definitions import Definition, definitions, params_for
from pipeline.training.engine import train_grids
from pipeline.training.task import Job

MEASURES = (
    "accuracy",
    "accuracy_low",
    "accuracy_high",
    "robustness_loss",
    "lipschitz_discrete",
    "lipschitz_local",
    "concept_sparsity",
    "constant_concepts",
    "cross_entropy_ratio",
    "selection_gain",
    "collapsed",
)


def run_study(run: Run, name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The study of experiment `name`; its models are kept in the cell store alone.

    Returns
    -------
    cells : one row a cell: experiment, variant, reduction, robust_reg, seed, then `MEASURES` as
        stage `evaluate` has them; definitions in the order of params.yaml, then by λ and seed.
    roundings : how much accuracy depends on rounding. Under the loss of section `robustness`, over
        the study's λ and its first `rounding_seeds` seeds, one row a cell, by λ and seed:
        experiment, robust_reg, seed, accuracy, and accuracy_jittered, of the same cell from initial
        weights moved by 1e-7.

    Raises
    ------
    PipelineError
        If the experiment is not in the study, the data do not fit the params, or a loss is not
        finite.
    """
    study, robustness = run.params.study_of(name), run.params.robustness
    own, few = Definition(robustness.variant, robustness.reduction), study.rounding_seeds
    with TemporaryDirectory(prefix="senn-study-") as folder:

        def make(definition: Definition, seeds: int | None = None, jittered: bool = False) -> Job:
            params = params_for(run.params, name, definition)
            params = params.model_copy(update={"seeds": params.seeds[:seeds]})
            models = Path(folder, *definition, "jittered" if jittered else "")
            label = f"{definition}, jittered" if jittered else str(definition)
            return Job(replace(run, params=params, models=models), name, jittered, label)

        jobs = {definition: make(definition) for definition in definitions(study)}
        roundings = [make(own, few, jittered) for jittered in (False, True)] if few else []
        beside = [job for job in roundings if job.jittered or own not in jobs]
        train_grids([*jobs.values(), *beside])
        return _cells_table(run, name, jobs), _roundings_table(run, name, roundings)


def _cells_table(run: Run, name: str, jobs: Mapping[Definition, Job]) -> pd.DataFrame:
    settings = run.params.evaluate.model_copy(update={"anchors": run.params.study_of(name).anchors})
    cells = [(definition, cell) for definition, job in jobs.items() for cell in sorted(job.grid())]
    print(f"study of {name}: measuring {len(cells)} models", flush=True)
    of_jobs = [(jobs[definition].run, cell) for definition, cell in cells]
    rows = evaluate(f"measure {name}", run, settings, of_jobs)
    return pd.DataFrame(
        {
            "experiment": name,
            **definition._asdict(),
            "robust_reg": cell.robust_reg,
            "seed": cell.seed,
            **{measure: row[measure] for measure in MEASURES},
        }
        for (definition, cell), row in zip(cells, rows, strict=True)
    )


def _roundings_table(run: Run, name: str, roundings: Sequence[Job]) -> pd.DataFrame:
    columns = ["experiment", "robust_reg", "seed", "accuracy", "accuracy_jittered"]
    if not roundings:
        return pd.DataFrame(columns=columns)
    test = load_dataset(run.data_of(name)).to(run.device).test

    def accuracy(job: Job, cell: Cell) -> float:
        model, _ = load_cell(cell.path(job.models))
        return correct(placed(model, run.device), test).double().mean().item()

    table = [
        (name, cell.robust_reg, cell.seed, *(accuracy(job, cell) for job in roundings))
        for cell in sorted(roundings[0].grid())
    ]
    return pd.DataFrame(table, columns=columns)
