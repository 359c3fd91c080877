"""Banks: many cells trained together as one batched computation.

A bank is a rectangle of cells, one row per seed, and one model whose weights are stacked (seeds,
λ). Each row has its own batches and noise, drawn from its seed and shared by its λ. Adam works
elementwise, and the gradient of the sum of all losses is each cell's own: nothing mixes cells.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from pipeline.data.dataset import Dataset, Split
from pipeline.errors import PipelineError
from pipeline.models.senn import Senn
from pipeline.models.stacking import Stacked, stack, unstack
from pipeline.params import Experiment
from pipeline.training.cells import Cell
from pipeline.training.objectives import Losses, Objective, cross_entropy
from pipeline.training.randomness import batch_order, generator
from pipeline.training.robustness import draw_probes
from pipeline.training.store import Checkpoint

Bank = list[list[Cell]]

# Seeds × λ in a bank. Constant for a kind of model and device, so that a cell's arithmetic never
# depends on how many others there are; a bank with fewer cells is filled up with idle copies.
SHAPES = {
    ("cpu", "mlp"): (3, 5),
    ("cpu", "conv"): (1, 5),
    ("cuda", "mlp"): (16, 8),
    ("cuda", "conv"): (3, 5),
}
VALIDATION_BATCH = 500


@dataclass(frozen=True)
class TrainedCell:
    """A cell's best weights on validation accuracy, where they were found, and its curve.

    The curve has one row a validation: step, epoch, the terms of the training loss (mean since the
    last validation), cross-entropy and accuracy on the validation split.
    """

    cell: Cell
    weights: dict[str, Tensor]
    step: int
    valid_accuracy: float
    curve: list[dict[str, float]]


def pack(cells: Sequence[Cell], shape: tuple[int, int]) -> list[Bank]:
    """Pack cells of one experiment into banks of `shape` (seeds, λ), padded with idle copies."""
    seeds, lambdas = shape
    rows = []
    for seed in dict.fromkeys(cell.seed for cell in cells):
        own = [cell for cell in cells if cell.seed == seed]
        rows += [_padded(own[i : i + lambdas], lambdas) for i in range(0, len(own), lambdas)]
    return [_padded(rows[i : i + seeds], seeds) for i in range(0, len(rows), seeds)]


def bank_shape(experiment: Experiment, device: torch.device) -> tuple[int, int]:
    """Seeds × λ in a bank of `experiment` on `device`."""
    return SHAPES[device.type, experiment.parameterizer.name]


def train_bank(
    bank: Bank,
    objective: Objective,
    initial: Callable[[int], Senn],
    data: Dataset,
    report: Callable[[int, float], None],
    checkpoint: Checkpoint,
) -> list[TrainedCell]:
    """Train a bank, from its checkpoint if there is one; return each of its cells once, in order.

    Parameters
    ----------
    bank : rows of cells, one seed a row, all rows equally long.
    objective : the experiment's loss.
    initial : a seed's freshly initialised model.
    data : the data set, whole, on the device to train on.
    report : called after every epoch with its number and the mean of the best validation
        accuracies so far.
    checkpoint : of this very bank; written after every epoch, removed at the end.

    Raises
    ------
    PipelineError
        If a loss is not finite; names the cell, the step and what to change.
    """
    device, experiment = data.train.x.device, objective.experiment
    shape = len(bank), len(bank[0])
    architecture = initial(bank[0][0].seed)
    models = [initial(cell.seed) for row in bank for cell in row]
    stacked = stack(models, shape, device)
    senn, weights = stacked.senn, stacked.weights
    robust_reg = torch.tensor([[c.robust_reg for c in row] for row in bank], device=device)
    adam = torch.optim.Adam([weights], lr=experiment.lr, fused=True)

    best = _Best(bank, weights)
    steps = _steps_per_epoch(data.train, experiment, bank[0][0])
    losses_since: list[Losses] = []
    first = _resume(checkpoint, stacked, adam, best, losses_since)
    for epoch in range(first, experiment.epochs + 1):
        streams = [_batches(senn, objective, data.train, row[0].seed, epoch) for row in bank]
        for step, draws in enumerate(zip(*streams, strict=True), start=(epoch - 1) * steps + 1):
            x, y, noise, probes = tree_map(lambda *rows: _per_row(rows, shape), *draws)
            losses = objective(senn, robust_reg, x, y, noise, probes)
            stacked.differentiate(losses.total.sum())
            adam.step()
            losses_since.append(Losses(*(term.detach() for term in losses)))
            if step % experiment.eval_freq == 0 or step == steps * experiment.epochs:
                _check_finite(bank, losses_since, epoch, step)
                best.update(weights, epoch, step, losses_since, *_validate(senn, data.valid, shape))
                losses_since.clear()
        _save(checkpoint, epoch, weights, adam, best, losses_since)
        report(epoch, best.accuracy.mean().item())
    checkpoint.remove()
    return best.cells(architecture)


def _save(
    checkpoint: Checkpoint,
    epoch: int,
    weights: Tensor,
    adam: torch.optim.Adam,
    best: "_Best",
    losses_since: list[Losses],
) -> None:
    """Keep all that the next epochs depend on; random numbers start anew at every epoch."""
    tensors = {
        "weights": weights,
        **{f"adam.{name}": value for name, value in adam.state[weights].items()},
        **{f"best.{name}": getattr(best, name) for name in ("weights", "accuracy", "step")},
    }
    if losses_since:
        tensors["losses"] = torch.stack([torch.stack(losses) for losses in losses_since])
    checkpoint.save(tensors, {"epoch": json.dumps(epoch), "rows": json.dumps(best.rows)})


def _resume(
    checkpoint: Checkpoint,
    stacked: Stacked,
    adam: torch.optim.Adam,
    best: "_Best",
    losses_since: list[Losses],
) -> int:
    """Restore what `_save` kept; the epoch to go on with."""
    saved = checkpoint.load()
    if saved is None:
        return 1
    tensors, metadata = saved
    weights = stacked.weights
    tensors = {name: value.to(weights.device) for name, value in tensors.items()}
    weights.copy_(tensors["weights"])
    adam.state[weights] = {
        name.removeprefix("adam."): value
        for name, value in tensors.items()
        if name.startswith("adam.")
    }
    best.weights, best.accuracy = tensors["best.weights"], tensors["best.accuracy"]
    best.step, best.rows = tensors["best.step"], json.loads(metadata["rows"])
    losses_since.extend(Losses(*terms) for terms in tensors.get("losses", ()))
    return int(json.loads(metadata["epoch"])) + 1


def _batches(
    senn: Senn, objective: Objective, train: Split, seed: int, epoch: int
) -> Iterator[tuple[Any, ...]]:
    """One seed's epoch: x, y, the model's noise, the robustness loss's probes (None: exact)."""
    device, experiment = train.x.device, objective.experiment
    noise = generator(seed, "noise", epoch, device)
    order = batch_order(seed, epoch, len(train.y), experiment.batch_size).to(device)
    for index in order:
        drawn = senn.draw_noise(len(index), noise)
        probes = None
        if objective.robustness.probes != "exact":
            probes = draw_probes(
                (len(index), objective.robustness.probes, experiment.num_classes), noise
            )
        yield train.x[index], train.y[index], drawn, probes


def _per_row(rows: tuple[Any, ...], shape: tuple[int, int]) -> Tensor | None:
    """Stack what every row of a bank drew, shared by its λ: (seeds, λ, ...), λ expanded."""
    if rows[0] is None:  # no dropout, or no probes
        return None
    return torch.stack(rows).unsqueeze(1).expand(*shape, *rows[0].shape)


class _Best:
    """The best weights of every cell so far, and its curve."""

    def __init__(self, bank: Bank, weights: Tensor) -> None:
        self.bank = bank
        self.weights = weights.clone()
        self.accuracy = torch.full(weights.shape[:2], -1.0, device=weights.device)
        self.step = torch.zeros_like(self.accuracy, dtype=torch.long)
        self.rows: list[dict[str, Any]] = []

    def update(
        self,
        weights: Tensor,
        epoch: int,
        step: int,
        losses: list[Losses],
        accuracy: Tensor,
        cross_entropy: Tensor,
    ) -> None:
        """Note a validation; keep the weights of cells that became better, the first of equals."""
        better = accuracy > self.accuracy
        self.accuracy = torch.where(better, accuracy, self.accuracy)
        self.step = torch.where(better, step, self.step)
        self.weights = torch.where(better.unsqueeze(-1), weights, self.weights)
        means = {
            f"train_{name}": torch.stack([getattr(batch, name) for batch in losses]).mean(0)
            for name in Losses._fields
        }
        columns = {**means, "valid_classification": cross_entropy, "valid_accuracy": accuracy}
        values = {name: column.tolist() for name, column in columns.items()}
        self.rows.append({"step": step, "epoch": epoch, **values})

    def cells(self, architecture: Senn) -> list[TrainedCell]:
        """Every cell of the bank once; idle copies are left out."""
        trained: dict[Cell, TrainedCell] = {}
        for i, row in enumerate(self.bank):
            for j, cell in enumerate(row):
                trained.setdefault(cell, self._trained(cell, i, j, architecture))
        return list(trained.values())

    def _trained(self, cell: Cell, i: int, j: int, architecture: Senn) -> TrainedCell:
        curve = [
            {key: value[i][j] if isinstance(value, list) else value for key, value in row.items()}
            for row in self.rows
        ]
        weights = unstack(architecture, self.weights[i, j].cpu())
        return TrainedCell(cell, weights, int(self.step[i, j]), float(self.accuracy[i, j]), curve)


@torch.no_grad()
def _validate(senn: Senn, split: Split, shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Accuracy and mean cross-entropy of every cell on the whole of `split`, each (seeds, λ)."""
    correct = cross_entropies = torch.zeros(shape, device=split.x.device)
    batches = zip(split.x.split(VALIDATION_BATCH), split.y.split(VALIDATION_BATCH), strict=True)
    for x, y in batches:
        x, y = x.expand(*shape, *x.shape), y.expand(*shape, *y.shape)
        logits = senn.aggregator(senn.conceptizer.encode(x), senn.parameterizer(x))
        correct = correct + (logits.argmax(-1) == y).sum(-1)
        cross_entropies = cross_entropies + cross_entropy(logits, y) * y.shape[-1]
    return correct / len(split.y), cross_entropies / len(split.y)


def _check_finite(bank: Bank, losses: list[Losses], epoch: int, step: int) -> None:
    finite = torch.stack([batch.total for batch in losses]).isfinite().all(0).tolist()
    for row, fine in zip(bank, finite, strict=True):
        for cell, is_finite in zip(row, fine, strict=True):
            if not is_finite:
                raise PipelineError(
                    f"{cell}: the training loss is not finite by step {step} (epoch {epoch}). "
                    f"Lower experiments.{cell.experiment}.lr, or λ, in params.yaml."
                )


def _steps_per_epoch(train: Split, experiment: Experiment, cell: Cell) -> int:
    steps = len(train.y) // experiment.batch_size
    if steps == 0:
        raise PipelineError(
            f"params.yaml: experiments.{cell.experiment}.batch_size: must be ≤ the "
            f"{len(train.y)} training examples, got {experiment.batch_size}"
        )
    return steps


def _padded(items: list[Any], length: int) -> list[Any]:
    return items + [items[-1]] * (length - len(items))
