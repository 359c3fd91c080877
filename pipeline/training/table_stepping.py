"""How a bank of SENNs on a table takes its steps on a CPU: `table_kernel`, cell by cell."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.core.cells import Cell
from pipeline.core.dataset import Dataset
from pipeline.core.params import Experiment, Robustness
from pipeline.core.params_choices import MlpParameterizer
from pipeline.models.senn import Senn
from pipeline.models.stacking import places
from pipeline.training.batches import Batches
from pipeline.training.objectives import Losses, Objective
from pipeline.training.robustness import directions

Array = np.ndarray[Any, Any]

# The variants that the kernel knows, and what it calls what they differentiate.
_TARGETS = {
    "paper2018": "LOGITS",
    "review2020": "TABULAR_REVIEW",
    "authors2018": "LOG_SOFTMAX",
}


def fits(experiment: Experiment, robustness: Robustness, device: torch.device) -> bool:
    """Whether `TableStepping` can train it: raw features and a perceptron, on a CPU.

    And under a robustness loss that the kernel knows.
    """
    parts = experiment.conceptizer.name, experiment.parameterizer.name
    return device.type == "cpu" and parts == ("identity", "mlp") and robustness.variant in _TARGETS


class TableStepping:
    """Cell by cell; every cell's arithmetic is its own."""

    def __init__(
        self,
        architecture: Senn,
        weights: Tensor,
        objective: Objective,
        bank: Sequence[Cell],
        data: Dataset,
    ) -> None:
        # numba takes a while to import: not before something is trained.
        from pipeline.training import table_kernel

        self.kernel = table_kernel
        self.objective, self.bank = objective, bank
        self.weights: Array = weights.numpy()  # the same memory
        self.moments: Array = np.zeros((len(bank), 2, weights.shape[-1]), self.weights.dtype)
        parameterizer = objective.experiment.parameterizer
        assert isinstance(parameterizer, MlpParameterizer), "see `fits`"
        hidden = parameterizer.hidden_sizes
        firsts, layers = places(architecture), range(len(hidden) + 1)
        self.places = np.array(
            [[firsts[f"parameterizer.layers.{i}.{k}"] for k in ("weight", "bias")] for i in layers]
        )
        outputs = objective.experiment.num_concepts * objective.experiment.num_classes
        self.starts = np.cumsum([0, *data.input_shape, *hidden, outputs])  # of rows, layer by layer
        loss = objective.robustness
        probes = directions(loss, data.input_shape)  # "exact" for review2020
        scale = 1.0 if probes == "exact" else probes**-0.5
        target = getattr(table_kernel, _TARGETS[loss.variant])
        self.loss = target, loss.reduction == "example", scale
        self.train, self.valid = ((_columns(s.x), s.y.numpy()) for s in (data.train, data.valid))
        self.sizes = data.train.x.abs().sum(-1)

    def advance(self, batches: Mapping[int, Batches], first: int, end: int, done: int) -> Tensor:
        experiment = self.objective.experiment
        drawn = {seed: self._drawn(of_seed, first, end) for seed, of_seed in batches.items()}

        def train(cell: Cell, weights: Array, moments: Array) -> Array:
            model = weights, moments, self.places, self.starts
            batch, loss = (*self.train, *drawn[cell.seed]), (*self.loss, cell.robust_reg)
            losses = np.empty((end - first, 2), weights.dtype)
            self.kernel.train_steps(*model, *batch, *loss, experiment.lr, done, losses)
            return losses

        trained = list(map(train, self.bank, self.weights, self.moments))
        classification, robustness = torch.from_numpy(np.stack(trained, -1)).unbind(1)
        concept = self._concept_losses(batches, first, end)
        reg = torch.tensor([cell.robust_reg for cell in self.bank], dtype=classification.dtype)
        total = classification + reg * robustness + experiment.concept_reg * concept
        return torch.stack(Losses(total, classification, robustness, concept), 1)

    def validate(self) -> tuple[Tensor, Tensor]:
        validated = [
            self.kernel.validate(weights, self.places, self.starts, *self.valid)
            for weights in self.weights
        ]
        correct, cross_entropies = torch.tensor(validated, dtype=torch.float64).unbind(1)
        return (correct / len(self.valid[1])).to(self.sizes), cross_entropies.to(self.sizes)

    def state(self) -> dict[str, Tensor]:
        return {"moments": torch.from_numpy(self.moments)}

    def restore(self, state: dict[str, Tensor]) -> None:
        self.moments[:] = state["moments"].numpy()

    def _drawn(self, batches: Batches, first: int, end: int) -> tuple[Array, Array, Array]:
        """What the kernel wants of a seed's steps: examples, masks, probes."""
        examples = batches.examples[first:end]
        classes, batch = self.objective.experiment.num_classes, examples.shape[1]
        masks = self.sizes.new_ones(1, batch, int(self.starts[-2] - self.starts[1]))
        if batches.noise.masks is not None:
            masks = torch.cat([mask[first:end].to(masks) for mask in batches.noise.masks], -1)
        probes = torch.eye(classes).to(masks).expand(1, batch, classes, classes)
        if batches.probes is not None:
            probes = batches.probes[first:end].to(masks)
        return examples.numpy(), _columns(masks), _columns(probes.movedim(1, 2))

    def _concept_losses(self, batches: Mapping[int, Batches], first: int, end: int) -> Tensor:
        """(steps, cells): the identity reconstructs x, what is left are the concepts' sizes."""
        assert self.objective.experiment.sparsity_reg is not None
        sizes = {s: self.sizes[batch.examples[first:end]].sum(-1) for s, batch in batches.items()}
        own_sizes = torch.stack([sizes[cell.seed] for cell in self.bank], -1)
        return self.objective.experiment.sparsity_reg * own_sizes


def _columns(x: Tensor) -> Array:
    """x (..., B, rows) as (..., rows, B), contiguous."""
    return x.mT.contiguous().numpy()
