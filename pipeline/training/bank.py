"""Banks: many cells trained together as one batched computation.

A bank is a list of cells and one model whose weights are stacked, one row a cell. Each cell has the
batches and the noise of its seed, whatever its λ. How steps are taken is `stepping`'s and
`table_stepping`'s; here is what a training consists of: epochs, validations, selected weights, and
checkpoints to go on from.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.core.cells import Cell
from pipeline.core.dataset import Dataset, Split
from pipeline.core.errors import PipelineError
from pipeline.core.params import Experiment, Robustness
from pipeline.core.params_choices import MlpParameterizer
from pipeline.core.params_types import Select
from pipeline.core.store import Checkpoint
from pipeline.models.senn import Senn
from pipeline.models.stacking import stacked_weights, unstack
from pipeline.training.batches import draw_batches, stretches, validations
from pipeline.training.objectives import Losses, Objective
from pipeline.training.selection import score
from pipeline.training.stepping import CellStepping, Stepping, VmapStepping
from pipeline.training.table_stepping import TableStepping, fits

Bank = list[Cell]
_CURVE = (*(f"train_{term}" for term in Losses._fields), "valid_classification", "valid_accuracy")


@dataclass(frozen=True)
class TrainedCell:
    """A cell's selected weights (see `select`), where they were found, and its curve.

    The curve has one row a validation: step, epoch, the terms of the training loss (mean since the
    last validation), cross-entropy and accuracy on the validation split.
    """

    cell: Cell
    weights: dict[str, Tensor]
    step: int
    valid_accuracy: float
    curve: list[dict[str, float]]


def most_cells(experiment: Experiment, robustness: Robustness, device: torch.device) -> int:
    """How many cells a bank may have; on a GPU idle ones fill it up.

    On a GPU as many as keep it busy: few that convolve images, and hundreds of perceptrons, where
    256 take half as long again as 16. On a CPU a crash loses the current epoch of the whole bank:
    few where an epoch takes long, many on tables.
    """
    if device.type == "cpu":
        return 256 if fits(experiment, robustness, device) else 5
    return 256 if isinstance(experiment.parameterizer, MlpParameterizer) else 16


def pack(
    cells: Sequence[Cell],
    experiment: Experiment,
    robustness: Robustness,
    device: torch.device,
    workers: int,
) -> list[Bank]:
    """Distribute the experiment's `cells` over banks, even ones, and as many for every worker.

    Which bank a cell is in changes nothing about it: its arithmetic is its own.
    """
    banks = -(-len(cells) // most_cells(experiment, robustness, device))
    banks = min(-(-banks // workers) * workers, len(cells))
    bounds = [round(i * len(cells) / banks) for i in range(banks + 1)]
    return [list(cells[a:b]) for a, b in itertools.pairwise(bounds)]


def train_bank(
    bank: Bank,
    objective: Objective,
    initial: Callable[[int], Senn],
    data: Dataset,
    report: Callable[[int, float], None],
    checkpoint: Checkpoint,
    width: int | None = None,
) -> list[TrainedCell]:
    """Train a bank, from its checkpoint if there is one; return its cells in order.

    Parameters
    ----------
    bank : the cells, all of one experiment.
    objective : the experiment's loss.
    initial : a seed's freshly initialised model, which is left as it is.
    data : the data set, whole, on the device to train on.
    report : called after every epoch with its number and the mean validation accuracy of the
        weights selected so far.
    checkpoint : written after every epoch; if it has all cells of the bank, whatever others too,
        training goes on from it.
    width : cells to compute at once on a GPU, idle ones included; all of the bank by default.

    Raises
    ------
    PipelineError
        If a loss or a weight is not finite; names the cell, the step and what to change.
    """
    device, experiment = data.train.x.device, objective.experiment
    steps = _steps_per_epoch(data.train, experiment, bank[0])
    architecture = initial(bank[0].seed)
    weights = stacked_weights([initial(cell.seed) for cell in bank], device)
    stepping: Stepping
    if fits(experiment, objective.robustness, device):
        stepping = TableStepping(architecture, weights, objective, bank, data)
    elif device.type == "cpu":
        stepping = CellStepping(architecture, weights, objective, bank, data)
    else:
        stepping = VmapStepping(architecture, weights, objective, bank, data, width)

    best = _Best(bank, weights, experiment.select)
    first = _resume(checkpoint, bank, weights, stepping, best)
    for epoch in range(first, experiment.epochs + 1):
        drawn = {
            seed: draw_batches(architecture, objective, seed, epoch, data.train)
            for seed in dict.fromkeys(cell.seed for cell in bank)
        }
        done, due = (epoch - 1) * steps, validations(epoch, steps, experiment)
        for start, end in stretches(epoch, steps, experiment):
            losses = stepping.advance(drawn, start, end, done + start)
            best.losses = torch.cat([best.losses, losses])
            if end in due:
                step = done + end
                accuracy, cross_entropy = stepping.validate()
                _check_finite(bank, experiment, best.losses, weights, cross_entropy, epoch, step)
                best.update(weights, epoch, step, accuracy, cross_entropy)
        _save(checkpoint, bank, epoch, weights, stepping, best)
        report(epoch, best.accuracy.mean().item())
    return best.cells(architecture)


def _save(
    checkpoint: Checkpoint,
    bank: Bank,
    epoch: int,
    weights: Tensor,
    stepping: Stepping,
    best: "_Best",
) -> None:
    """Keep all that the next epochs depend on; random numbers start anew at every epoch."""
    tensors = {"weights": weights, **best.state(), **stepping.state()}
    cells = [(cell.experiment, cell.robust_reg, cell.seed) for cell in bank]
    checkpoint.save(tensors, {"epoch": epoch, "cells": cells})


def _resume(
    checkpoint: Checkpoint, bank: Bank, weights: Tensor, stepping: Stepping, best: "_Best"
) -> int:
    """Restore what `_save` kept; the epoch to go on with."""
    tensors, metadata = checkpoint.load() or ({}, {"cells": []})
    cells = [Cell(*cell) for cell in metadata["cells"]]
    if not set(bank) <= set(cells):
        return 1
    places = torch.tensor([cells.index(cell) for cell in bank])
    kept = {
        name: _of_cells(name, value, places).to(weights.device) for name, value in tensors.items()
    }
    weights.copy_(kept["weights"])
    best.restore(kept)
    stepping.restore(kept)
    return int(metadata["epoch"]) + 1


def _of_cells(name: str, value: Tensor, places: Tensor) -> Tensor:
    """What a tensor that `_save` kept says of the cells at `places` of its bank."""
    if name in ("best.when", "step"):  # the same for all
        return value
    return value.index_select(-1 if name in ("best.curve", "best.losses") else 0, places)


class _Best:
    """The weights of every cell that are selected so far, and its curve."""

    def __init__(self, bank: Bank, weights: Tensor, select: Select) -> None:
        self.bank, self.select = bank, select
        self.weights = weights.clone()
        self.score = torch.full_like(weights[:, 0], -torch.inf)
        self.accuracy = torch.full_like(self.score, torch.nan)
        self.step = torch.zeros_like(self.accuracy, dtype=torch.long)
        self.when = torch.empty(0, 2, dtype=torch.long)  # step and epoch of every validation
        self.curve = weights.new_empty(0, len(_CURVE), len(bank))
        self.losses = weights.new_empty(0, len(Losses._fields), len(bank))  # since the last one

    def update(
        self, weights: Tensor, epoch: int, step: int, accuracy: Tensor, cross_entropy: Tensor
    ) -> None:
        """Note a validation; keep the weights of cells that became better, the first of equals."""
        scored = score(self.select, accuracy, cross_entropy, torch.full_like(accuracy, step))
        better = scored > self.score
        self.score = torch.where(better, scored, self.score)
        self.accuracy = torch.where(better, accuracy, self.accuracy)
        self.step = torch.where(better, step, self.step)
        self.weights = torch.where(better.unsqueeze(-1), weights, self.weights)
        # Step by step: the order in which torch sums depends on the number of cells.
        mean = sum(self.losses[1:], self.losses[0]) / len(self.losses)
        row = torch.stack([*mean, cross_entropy, accuracy])
        self.curve = torch.cat([self.curve, row.unsqueeze(0)])
        self.when = torch.cat([self.when, torch.tensor([[step, epoch]])])
        self.losses = self.losses[:0]

    def state(self) -> dict[str, Tensor]:
        """All of it, for a checkpoint."""
        names = ("weights", "score", "accuracy", "step", "when", "curve", "losses")
        return {f"best.{name}": getattr(self, name) for name in names}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Go back to what `state` returned."""
        for name in self.state():
            setattr(self, name.removeprefix("best."), tensors[name])
        self.when = self.when.cpu()

    def cells(self, architecture: Senn) -> list[TrainedCell]:
        """Every cell of the bank."""
        when, curve = self.when.tolist(), self.curve.permute(2, 0, 1).tolist()
        return [
            TrainedCell(
                cell,
                unstack(architecture, self.weights[place].cpu()),
                int(self.step[place]),
                float(self.accuracy[place]),
                [
                    {"step": step, "epoch": epoch, **dict(zip(_CURVE, row, strict=True))}
                    for (step, epoch), row in zip(when, curve[place], strict=True)
                ],
            )
            for place, cell in enumerate(self.bank)
        ]


def _check_finite(
    bank: Bank,
    experiment: Experiment,
    losses: Tensor,
    weights: Tensor,
    cross_entropy: Tensor,
    epoch: int,
    step: int,
) -> None:
    """Complain of the first cell with something that is not finite.

    The losses (steps, 4, cells) are those before each update; what the last one made of the weights
    (cells, numbers), they and the validation's cross-entropy (cells,) say.
    """
    finite = {
        "training loss is": losses[:, Losses._fields.index("total")].isfinite().all(0),
        "weights are": weights.isfinite().all(1),
        "validation loss is": cross_entropy.isfinite(),
    }
    by_cell = torch.stack(list(finite.values()), 1).tolist()  # the one wait for a GPU
    for cell, of_cell in zip(bank, by_cell, strict=True):
        for what, is_finite in zip(finite, of_cell, strict=True):
            if not is_finite:
                raise PipelineError(
                    f"{cell}: the {what} not finite by step {step} (epoch {epoch}). "
                    f"Lower {experiment.key(cell.experiment)}.lr, or λ, in params.yaml."
                )


def _steps_per_epoch(train: Split, experiment: Experiment, cell: Cell) -> int:
    steps = len(train.y) // experiment.batch_size
    if steps == 0:
        raise PipelineError(
            f"params.yaml: {experiment.key(cell.experiment)}.batch_size: must be ≤ the "
            f"{len(train.y)} training examples, got {experiment.batch_size}"
        )
    return steps
