"""How a bank takes its steps by autograd: its cells one by one, or as one computation.

On a CPU every cell is trained alone: it fills a core, and what it works on stays in its caches. On
a GPU a cell alone would be thousands of small kernels, most of them launched for nothing; there
``torch.func.vmap`` makes one computation of all, whose launches are as many for one cell as for
fifty, and for one probe as for all classes (`benchmarks.launches` counts them), and `Replayed`
records them once as a CUDA graph. Both run the same models and the same `Objective`;
tests/training/test_stepping.py holds them equal.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Protocol

import torch
from torch import Tensor
from torch.func import grad, vmap

from pipeline.core.cells import Cell
from pipeline.core.dataset import Dataset
from pipeline.models.layers import plain
from pipeline.models.senn import Senn, SennNoise, logits
from pipeline.models.stacking import of_weights, on_row, views
from pipeline.training.adam import Adam
from pipeline.training.batches import Batches, at_step, each_tensor
from pipeline.training.graphs import Replayed
from pipeline.training.objectives import Objective
from pipeline.training.robustness import linearise_plain

VALIDATION_BATCH = 500


class Stepping(Protocol):
    """Trains a bank in place: one row of weights (cells, numbers) a cell (`models.stacking`)."""

    def advance(self, batches: Mapping[int, Batches], first: int, end: int, done: int) -> Tensor:
        """Take every seed's steps `first` to `end` - 1 of an epoch, before which `done` were taken.

        Returns the terms of the training loss, (steps, 4, cells), in the order of `Losses`.
        """

    def validate(self) -> tuple[Tensor, Tensor]:
        """Accuracy and mean cross-entropy of every cell on the validation split, each (cells,)."""

    def state(self) -> dict[str, Tensor]:
        """What further steps depend on besides the weights: Adam's. No name begins with "best"."""

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on from what `state` returned."""


class CellStepping:
    """Cell by cell."""

    def __init__(
        self,
        architecture: Senn,
        weights: Tensor,
        objective: Objective,
        bank: Sequence[Cell],
        data: Dataset,
    ) -> None:
        self.weights, self.objective, self.bank, self.data = weights, objective, bank, data
        self.adam = Adam([weights], objective.experiment.lr)
        self.gradient = torch.zeros_like(weights)
        self.senns = [on_row(architecture, row) for row in weights]
        self.gradients = [views(architecture, row) for row in self.gradient]

    def advance(self, batches: Mapping[int, Batches], first: int, end: int, done: int) -> Tensor:
        losses = []
        for step in range(first, end):
            drawn = {seed: at_step(of_seed, step) for seed, of_seed in batches.items()}
            of_cells = [self._differentiate(place, drawn) for place in range(len(self.bank))]
            losses.append(torch.stack(of_cells, 1))
            self.adam.step([self.gradient])
        return torch.stack(losses)

    def _differentiate(self, place: int, drawn: Mapping[int, Batches]) -> Tensor:
        """Put the gradient of one cell's loss into place; the losses, (4,)."""
        cell, senn = self.bank[place], self.senns[place]
        examples, noise, probes = drawn[cell.seed]
        x, y = self.data.train.x[examples], self.data.train.y[examples]
        losses = self.objective(senn, cell.robust_reg, x, y, noise, probes)
        gradients = torch.autograd.grad(losses.total, list(senn.parameters()))
        for row, gradient in zip(self.gradients[place].values(), gradients, strict=True):
            row.copy_(gradient)
        return torch.stack(losses).detach()

    def validate(self) -> tuple[Tensor, Tensor]:
        return _validate(self.data, lambda x: torch.stack([logits(s, x) for s in self.senns]))

    def state(self) -> dict[str, Tensor]:
        adam = self.adam
        return {"step": adam.steps[0], "mean": adam.means[0], "square": adam.squares[0]}

    def restore(self, state: dict[str, Tensor]) -> None:
        for name, value in self.state().items():
            value.copy_(state[name])


class VmapStepping:
    """All cells at once, with the models' dimension in front of every tensor."""

    def __init__(
        self,
        architecture: Senn,
        weights: Tensor,
        objective: Objective,
        bank: Sequence[Cell],
        data: Dataset,
        width: int | None = None,
    ) -> None:
        """`width` cells, the bank's and idle ones: a cell's bits may depend on their number."""
        self.weights, self.data = weights, data
        width = width or len(bank)
        self.rows = views(architecture, weights)  # (cells, *shape) each
        self.parameters = {name: _filled_up(rows, width) for name, rows in self.rows.items()}
        self.adam = Adam(self.parameters.values(), objective.experiment.lr)
        senn = plain(on_row(architecture, weights[0]).requires_grad_(False))
        self.logits = of_weights(senn, logits)
        self.losses = of_weights(senn, partial(_losses, objective))
        reg = torch.tensor([cell.robust_reg for cell in bank], dtype=weights.dtype)
        self.robust_reg = _filled_up(reg, width).to(weights.device)
        self.seeds = list(dict.fromkeys(cell.seed for cell in bank))
        seed_of_cell = torch.tensor([self.seeds.index(cell.seed) for cell in bank])
        self.seed_of_cell = _filled_up(seed_of_cell, width).to(weights.device)
        self.replayed_step = Replayed(self.step, self._unchanged) if weights.is_cuda else self.step
        self.replayed_validate = Replayed(self._validate) if weights.is_cuda else self._validate

    def advance(self, batches: Mapping[int, Batches], first: int, end: int, done: int) -> Tensor:
        drawn = each_tensor(
            lambda *seeds: torch.stack([t[first:end] for t in seeds], 1),
            *(batches[seed] for seed in self.seeds),
        )
        losses = [self.replayed_step(at_step(drawn, step)) for step in range(end - first)]
        for name, rows in self.rows.items():
            rows.copy_(self.parameters[name][: len(rows)])
        return torch.stack(losses)[..., : len(self.weights)]

    def step(self, drawn: Batches) -> Tensor:
        """One step of every cell on its seed's batch, (seeds, B, ...); the losses, (4, width)."""
        examples, *random = each_tensor(lambda t: t.index_select(0, self.seed_of_cell), drawn)
        x, y = self.data.train.x[examples], self.data.train.y[examples]
        inputs = (self.robust_reg, x, y, *random)
        dims = each_tensor(lambda _: 0, inputs)  # None where there is nothing
        differentiate = vmap(grad(self.losses, has_aux=True), (0, *dims), (0, 1))
        gradients, losses = differentiate(self.parameters, *inputs)
        self.adam.step([gradients[name] for name in self.parameters])
        return losses

    def validate(self) -> tuple[Tensor, Tensor]:
        accuracy, cross_entropy = self.replayed_validate()
        return accuracy, cross_entropy

    def _validate(self) -> tuple[Tensor, Tensor]:
        logits_of_all, cells = vmap(self.logits, (0, None)), len(self.weights)
        return _validate(self.data, lambda x: logits_of_all(self.parameters, x)[:cells])

    def state(self) -> dict[str, Tensor]:
        """Adam's means and squares, rows of the bank's cells as the weights are, and its step."""
        cells, moments = len(self.weights), {"mean": self.adam.means, "square": self.adam.squares}
        return {"step": self.adam.steps[0]} | {
            f"{key}.{name}": value[:cells]
            for key, values in moments.items()
            for name, value in zip(self.parameters, values, strict=True)
        }

    def restore(self, state: dict[str, Tensor]) -> None:
        for step in self.adam.steps:
            step.copy_(state["step"])
        for place, (name, parameter) in enumerate(self.parameters.items()):
            parameter.copy_(_filled_up(self.rows[name], len(parameter)))
            for key, values in (("mean", self.adam.means), ("square", self.adam.squares)):
                values[place].copy_(_filled_up(state[f"{key}.{name}"], len(parameter)))

    @contextmanager
    def _unchanged(self) -> Iterator[None]:
        """Undo, at the end, the steps taken meanwhile."""
        before = {name: value.clone() for name, value in self.state().items()}
        yield
        self.restore(before)


def _filled_up(rows: Tensor, width: int) -> Tensor:
    """A copy of `rows`, and of the last one as often as makes `width`."""
    return torch.cat([rows, rows[-1:].expand(width - len(rows), *rows.shape[1:])])


def _losses(
    objective: Objective,
    senn: Senn,
    robust_reg: Tensor,
    x: Tensor,
    y: Tensor,
    noise: SennNoise,
    probes: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """The total to differentiate, and all terms, (4,)."""
    losses = objective(senn, robust_reg, x, y, noise, probes, linearise_plain)
    return losses.total, torch.stack(losses)


@torch.no_grad()
def _validate(data: Dataset, logits_of: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Accuracies and cross-entropies of the cells whose logits (cells, B, C) `logits_of` gives."""
    split = data.valid
    correct = losses = torch.zeros((), device=split.x.device)
    for x, y in zip(split.x.split(VALIDATION_BATCH), split.y.split(VALIDATION_BATCH), strict=True):
        of_cells = logits_of(x)  # of which a log-softmax may round two to the same
        log_p = of_cells.log_softmax(2)
        correct = correct + (of_cells.argmax(2) == y).sum(1)
        losses = losses - log_p[:, torch.arange(len(y), device=y.device), y].sum(1)
    return correct / len(split.y), losses / len(split.y)
