"""Evaluate an experiment's whole grid, one cell per core at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch

from pipeline.data.dataset import load_dataset
from pipeline.metrics.evaluation import Protocol, Row, evaluate_cell, prepare_protocol
from pipeline.metrics.progress import with_progress
from pipeline.params import Evaluate, Params
from pipeline.training.cells import Cell, grid, load_cell
from pipeline.training.workers import Report, run_side_by_side


@dataclass(frozen=True)
class _Task:
    """What a worker needs to evaluate one cell."""

    file: Path
    settings: Evaluate
    device: torch.device
    data: Path


def evaluate_grid(
    params: Params, name: str, device: torch.device, data: Path, models: Path
) -> dict[Cell, Row]:
    """Evaluate all cells of experiment `name`, with a progress bar; in a log file, a line a cell.

    Parameters
    ----------
    data : folder of the prepared data set.
    models : folder of the trained cells.

    Raises
    ------
    PipelineError
        If the data or a cell is missing or damaged.
    """
    cells = grid(params, name)
    files = [cell.path(models) for cell in cells]

    def line(index: int, row: Row) -> str:
        return f"{cells[index]}: test accuracy {row['accuracy']:.4f}"

    done = evaluate_files(files, params.evaluate, device, data)
    shown = with_progress(f"evaluate {name}", len(cells), done, line)
    return {cells[index]: row for index, row in shown}


def evaluate_files(
    files: Sequence[Path], settings: Evaluate, device: torch.device, data: Path
) -> Iterator[tuple[int, Row]]:
    """Evaluate cells trained on the data set in folder `data`; yields (index, result) when done."""
    tasks = [_Task(file, settings, device, data) for file in files]
    yield from run_side_by_side(_evaluate, tasks, device, lambda *_: None)


def _evaluate(task: _Task, report: Report) -> Row:
    """Evaluate one cell; runs in a worker."""
    protocol = _protocol(task.data, task.settings, task.device)
    model, _ = load_cell(task.file)
    return evaluate_cell(model.to(task.device), protocol)


@lru_cache(maxsize=1)
def _protocol(data: Path, settings: Evaluate, device: torch.device) -> Protocol:
    """The protocol of an experiment, made once in a worker."""
    return prepare_protocol(load_dataset(data).to(device), settings)
