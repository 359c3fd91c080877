"""How a bank takes its steps: by autograd, whatever the model and the device."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor

from pipeline.core.dataset import Dataset
from pipeline.models.cells import Cell
from pipeline.models.senn import Senn
from pipeline.models.stacking import Stacked, stacked_on
from pipeline.training.batches import Batches, each_tensor
from pipeline.training.objectives import Objective, cross_entropy
from pipeline.training.robustness import directions

VALIDATION_BATCH = 500
TOGETHER = {"cpu": 5, "cuda": 64}  # the most cells in one graph, see `_together`


class Stepping(Protocol):
    """Trains a bank in place: one row of `Stacked.weights` a cell."""

    def advance(self, batches: Mapping[int, Batches], first: int, end: int, done: int) -> Tensor:
        """Take every seed's steps `first` to `end` - 1 of an epoch, before which `done` were taken.

        Returns the terms of the training loss, (steps, 4, cells), in the order of `Losses`.
        """

    def validate(self) -> tuple[Tensor, Tensor]:
        """Accuracy and mean cross-entropy of every cell on the validation split, each (cells,)."""

    def state(self) -> dict[str, Tensor]:
        """What further steps depend on besides the weights: Adam's."""

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on from what `state` returned."""


class AutogradStepping:
    """Some cells at a time in one graph: the gradient of the sum of their losses is each one's own.

    All at once would be slower: what a step works on would not stay in a processor's caches.
    """

    def __init__(
        self,
        architecture: Senn,
        weights: Tensor,
        objective: Objective,
        bank: Sequence[Cell],
        data: Dataset,
    ) -> None:
        self.weights, self.objective, self.data = weights, objective, data
        self.seeds, reg = [cell.seed for cell in bank], [cell.robust_reg for cell in bank]
        self.robust_reg = torch.tensor(reg, device=weights.device, dtype=weights.dtype)
        self.adam = torch.optim.Adam([weights], lr=objective.experiment.lr, fused=True)
        weights.grad = torch.zeros_like(weights)
        together = _together(objective, data)
        self.groups = even_parts(len(bank), -(-len(bank) // together))
        self.models = [stacked_on(architecture, weights[g], weights.grad[g]) for g in self.groups]

    def advance(self, batches: Mapping[int, Batches], first: int, end: int, done: int) -> Tensor:
        losses = []
        groups = list(zip(self.groups, self.models, strict=True))
        for step in range(first, end):
            parts = [self._differentiate(group, own, batches, step) for group, own in groups]
            losses.append(torch.cat(parts, -1))
            self.adam.step()
        return torch.stack(losses)

    def _differentiate(
        self, group: slice, models: Stacked, batches: Mapping[int, Batches], step: int
    ) -> Tensor:
        """Put the gradients of a group's losses into place; the losses, (4, cells of the group)."""
        examples, noise, probes = each_tensor(
            lambda *cells: torch.stack([drawn[step] for drawn in cells]),
            *(batches[seed] for seed in self.seeds[group]),
        )
        x, y = self.data.train.x[examples], self.data.train.y[examples]
        losses = self.objective(models.senn, self.robust_reg[group], x, y, noise, probes)
        models.differentiate(losses.total.sum())
        return torch.stack(losses).detach()

    def validate(self) -> tuple[Tensor, Tensor]:
        found = [self._validate(models) for models in self.models]
        accuracies, cross_entropies = zip(*found, strict=True)
        return torch.cat(accuracies), torch.cat(cross_entropies)

    @torch.no_grad()
    def _validate(self, models: Stacked) -> tuple[Tensor, Tensor]:
        senn, split, cells = models.senn, self.data.valid, len(models.weights)
        correct, cross_entropies = torch.zeros(2, cells, device=split.x.device)
        parts = zip(split.x.split(VALIDATION_BATCH), split.y.split(VALIDATION_BATCH), strict=True)
        for part in parts:
            x, y = (shared.expand(cells, *shared.shape) for shared in part)
            logits = senn.aggregator(senn.conceptizer.encode(x), senn.parameterizer(x))
            correct += (logits.argmax(-1) == y).sum(-1)
            cross_entropies += cross_entropy(logits, y) * y.shape[-1]
        return correct / len(split.y), cross_entropies / len(split.y)

    def state(self) -> dict[str, Tensor]:
        return dict(self.adam.state[self.weights])

    def restore(self, state: dict[str, Tensor]) -> None:
        self.adam.state[self.weights] = dict(state)


def _together(objective: Objective, data: Dataset) -> int:
    """How many cells to have in one graph; on a CPU fewer, where each keeps many VJPs for its own.

    On a GPU it is for the work that they are together, which fills it.
    """
    device, shape = data.train.x.device, data.input_shape
    drawn = directions(objective.robustness, shape)
    vjps = objective.experiment.num_classes if drawn == "exact" else drawn
    return max(1, TOGETHER["cpu"] // vjps) if device.type == "cpu" else TOGETHER[device.type]


def even_parts(items: int, count: int) -> list[slice]:
    """So many items in `count` parts, one after the other, whose sizes differ by one at most."""
    bounds = [round(i * items / count) for i in range(count + 1)]
    return [slice(a, b) for a, b in pairwise(bounds)]
