"""How a bank of SENNs on a table takes its steps on a CPU: `table_kernel`, cell by cell."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pipeline.core.cells import Cell
from pipeline.core.dataset import Dataset, Split
from pipeline.core.params import Experiment, Robustness
from pipeline.core.params_choices import MlpParameterizer
from pipeline.models.senn import Senn
from pipeline.models.stacking import places
from pipeline.training.batches import Batches
from pipeline.training.objectives import Losses, Objective

Array = np.ndarray[Any, Any]

# The variants that the kernel knows, and what it calls what they differentiate.
_TARGETS = {
    "paper2018": "LOGITS",
    "review2020": "TABULAR_REVIEW",
    "authors2018": "LOG_SOFTMAX",
}


def fits(experiment: Experiment, robustness: Robustness, device: torch.device) -> bool:
    """Whether `TableStepping` can train it: raw features, a perceptron, their sum; on a CPU.

    And under a robustness loss that the kernel knows.
    """
    parts = experiment.conceptizer.name, experiment.parameterizer.name, experiment.aggregator
    known = parts == ("identity", "mlp", "sum") and robustness.variant in _TARGETS
    return device.type == "cpu" and known


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
        starts, layers = places(architecture), range(len(hidden) + 1)
        self.places = np.array(
            [[starts[f"parameterizer.layers.{i}.{k}"] for k in ("weight", "bias")] for i in layers]
        )
        outputs = objective.experiment.num_concepts * objective.experiment.num_classes
        self.widths = np.array([data.input_shape[0], *hidden, outputs])
        self.train, self.valid = _Columns.of(data.train), _Columns.of(data.valid)
        self.sizes = data.train.x.abs().sum(-1)

    def advance(self, batches: Mapping[int, Batches], first: int, end: int, done: int) -> Tensor:
        experiment, (target, scale) = self.objective.experiment, self._robustness()
        per_example = self.objective.robustness.reduction == "example"
        drawn = {seed: self._drawn(of_seed, first, end) for seed, of_seed in batches.items()}

        def train(index: int) -> Array:
            examples, masks, probes = drawn[self.bank[index].seed]
            losses = np.empty((len(examples), 2), self.weights.dtype)
            self.kernel.train_steps(
                self.weights[index],
                self.moments[index],
                self.places,
                self.widths,
                self.train.x,
                self.train.y,
                examples,
                masks,
                probes,
                target,
                per_example,
                scale,
                self.bank[index].robust_reg,
                experiment.lr,
                done,
                losses,
            )
            return losses

        losses = torch.from_numpy(np.stack([train(cell) for cell in range(len(self.bank))], -1))
        classification, robustness = losses.unbind(1)
        concept = self._concept_losses(batches, first, end)
        reg = torch.tensor([cell.robust_reg for cell in self.bank], dtype=losses.dtype)
        total = classification + reg * robustness + experiment.concept_reg * concept
        return torch.stack(Losses(total, classification, robustness, concept), 1)

    def validate(self) -> tuple[Tensor, Tensor]:
        classes, (x, y) = self.objective.experiment.num_classes, self.valid
        validated = [
            self.kernel.validate(weights, self.places, self.widths, x, y, classes)
            for weights in self.weights
        ]
        correct, cross_entropies = torch.tensor(validated, dtype=torch.float64).unbind(1)
        return (correct / len(y)).to(self.sizes), cross_entropies.to(self.sizes)

    def state(self) -> dict[str, Tensor]:
        return {"moments": torch.from_numpy(self.moments)}

    def restore(self, state: dict[str, Tensor]) -> None:
        self.moments[:] = state["moments"].numpy()

    def _robustness(self) -> tuple[int, float]:
        """The kernel's name for the variant, and the factor of the loss: see `robustness_loss`."""
        variant, probes = self.objective.robustness.variant, self.objective.robustness.probes
        target: int = getattr(self.kernel, _TARGETS[variant])
        if target == self.kernel.TABULAR_REVIEW or probes == "exact":
            return target, 1.0
        return target, probes**-0.5

    def _drawn(self, batches: Batches, first: int, end: int) -> tuple[Array, Array, Array]:
        """What the kernel wants of a seed's steps: examples, masks, probes."""
        examples = batches.examples[first:end]
        classes, batch = self.objective.experiment.num_classes, examples.shape[1]
        masks = self.sizes.new_ones(1, batch, int(self.widths[1:-1].sum()))
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


class _Columns(NamedTuple):
    """A split as the kernel wants it: x (features, N), y (N,)."""

    x: Array
    y: Array

    @classmethod
    def of(cls, split: Split) -> "_Columns":
        return cls(_columns(split.x), split.y.numpy())


def _columns(x: Tensor) -> Array:
    """x (..., B, rows) as (..., rows, B), contiguous."""
    return x.mT.contiguous().numpy()
