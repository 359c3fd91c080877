"""Score every explanation method on an experiment's headline models, one per core at a time."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch

from pipeline.data.dataset import load_dataset
from pipeline.explanations.methods import METHODS
from pipeline.metrics.comparison import Examination, MethodScores, score
from pipeline.metrics.progress import with_progress
from pipeline.params import Evaluate, Explain, Params
from pipeline.training.cells import Cell, load_cell
from pipeline.training.workers import Report, run_side_by_side


@dataclass(frozen=True)
class _Task:
    """What a worker needs to score one method on one model."""

    cell: Cell
    method: str
    settings: Explain
    evaluate: Evaluate
    device: torch.device
    data: Path
    models: Path


def compare_methods(
    params: Params, name: str, device: torch.device, data: Path, models: Path
) -> dict[str, list[MethodScores]]:
    """Scores of every method, one a seed, with a progress bar; in a log file, a line a method.

    Parameters
    ----------
    name : of the experiment, whose models with the headline λ are explained.
    data : folder of the prepared data set.
    models : folder of the trained cells.

    Returns
    -------
    Per method, in the order of `METHODS`, its scores on the model of each of the first
    ``explain.seeds`` seeds.

    Raises
    ------
    PipelineError
        If the data or a cell is missing or damaged.
    """
    settings = params.explain
    cells = [Cell(name, params.robust_reg, seed) for seed in params.seeds[: settings.seeds]]
    # Seed by seed, for what methods share; the long tasks of a seed first.
    methods = sorted(METHODS.values(), key=lambda method: not method.is_costly)
    tasks = [
        _Task(cell, method.name, settings, params.evaluate, device, data, models)
        for cell in cells
        for method in methods
    ]

    def line(index: int, scores: MethodScores) -> str:
        examples = len(scores.values["faithfulness"])
        return f"{tasks[index].cell}: {tasks[index].method}, {examples} examples"

    done = run_side_by_side(_score, tasks, device, lambda *_: None)
    shown = with_progress(f"explain {name}", len(tasks), done, line)
    found = {(tasks[index].method, tasks[index].cell): scores for index, scores in shown}
    return {method: [found[method, cell] for cell in cells] for method in METHODS}


def _score(task: _Task, report: Report) -> MethodScores:
    """Score one method on one model; runs in a worker."""
    path = task.cell.path(task.models)
    examination = _examination(path, task.data, task.settings, task.evaluate, task.device)
    return score(METHODS[task.method], examination)


@lru_cache(maxsize=1)
def _examination(
    cell: Path, data: Path, settings: Explain, evaluate: Evaluate, device: torch.device
) -> Examination:
    """What all methods of a model share, made once in a worker."""
    model, _ = load_cell(cell)
    return Examination(model.to(device), load_dataset(data).to(device), settings, evaluate)
