"""How a bank of SENNs on a table takes its steps on a CPU: `table_kernel`, cell by cell."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from pipeline.data.dataset import Dataset
from pipeline.models.senn import Senn
from pipeline.models.stacking import places
from pipeline.params import Experiment
from pipeline.training import table_kernel as kernel
from pipeline.training.batches import Batches
from pipeline.training.cells import Cell
from pipeline.training.device import cores
from pipeline.training.objectives import Losses, Objective

Array = kernel.Array
Result = TypeVar("Result")


def fits(experiment: Experiment, device: torch.device) -> bool:
    """Whether `TableStepping` can train it: raw features, a perceptron, their sum; on a CPU."""
    parts = experiment.conceptizer.name, experiment.parameterizer.name, experiment.aggregator
    return device.type == "cpu" and parts == ("identity", "mlp", "sum")


class TableStepping:
    """Cell by cell, on all cores; every cell's arithmetic is its own."""

    def __init__(
        self,
        architecture: Senn,
        weights: Tensor,
        objective: Objective,
        bank: Sequence[Cell],
        data: Dataset,
    ) -> None:
        self.objective, self.bank = objective, bank
        self.train, self.valid = data.train, data.valid
        self.weights: Array = weights.numpy()  # the same memory
        self.moments = torch.zeros(len(bank), 2, weights.shape[-1]).to(weights)
        parameterizer = objective.experiment.parameterizer
        hidden = parameterizer.hidden_sizes
        starts, layers = places(architecture), range(len(hidden) + 1)
        self.places = np.array(
            [[starts[f"parameterizer.layers.{i}.{k}"] for k in ("weight", "bias")] for i in layers]
        )
        outputs = objective.experiment.num_concepts * objective.experiment.num_classes
        self.widths = np.array([data.input_shape[0], *hidden, outputs])
        self.valid_x = _columns(data.valid.x)
        self.valid_y = data.valid.y.numpy()
        self.threads = cores()
        self.pool = ThreadPoolExecutor(self.threads)

    def advance(self, batches: Sequence[Batches], done: int) -> Tensor:
        experiment, (target, scale) = self.objective.experiment, self._robustness()
        per_example = self.objective.robustness.reduction == "example"
        own = {id(drawn): drawn for drawn in batches}  # cells share their seed's
        inputs = {key: self._inputs(drawn) for key, drawn in own.items()}
        concept_losses = {key: self._concept_loss(drawn) for key, drawn in own.items()}

        def train(index: int) -> Array:
            x, y, masks, probes = inputs[id(batches[index])]
            losses = np.empty((len(x), 2), x.dtype)
            kernel.train_steps(
                self.weights[index],
                self.moments[index].numpy(),
                self.places,
                self.widths,
                x,
                y,
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

        found = torch.from_numpy(np.stack(self._of_every_cell(train), -1))
        classification, robustness = found.unbind(1)
        concept = torch.stack([concept_losses[id(drawn)] for drawn in batches], -1)
        reg = torch.tensor([cell.robust_reg for cell in self.bank], dtype=found.dtype)
        total = classification + reg * robustness + experiment.concept_reg * concept
        return torch.stack(Losses(total, classification, robustness, concept), 1)

    def validate(self) -> tuple[Tensor, Tensor]:
        classes = self.objective.experiment.num_classes

        def validate(index: int) -> tuple[float, float]:
            return kernel.validate(
                self.weights[index], self.places, self.widths, self.valid_x, self.valid_y, classes
            )

        correct, cross_entropies = zip(*self._of_every_cell(validate), strict=True)
        dtype, examples = self.moments.dtype, len(self.valid_y)
        accuracy = torch.tensor(correct).to(dtype) / examples
        return accuracy, torch.tensor(cross_entropies, dtype=dtype)

    def state(self) -> dict[str, Tensor]:
        return {"moments": self.moments}

    def restore(self, state: dict[str, Tensor]) -> None:
        self.moments.copy_(state["moments"])

    def _of_every_cell(self, work: Callable[[int], Result]) -> list[Result]:
        """``work`` of every cell's place; compiled code leaves the interpreter to other threads."""
        cells = range(len(self.bank))

        def share(first: int) -> list[Result]:
            return [work(cell) for cell in cells[first :: self.threads]]

        shares = list(self.pool.map(share, range(self.threads)))
        return [shares[cell % self.threads][cell // self.threads] for cell in cells]

    def _robustness(self) -> tuple[int, float]:
        """The kernel's name for the variant, and the factor of the loss: see `robustness_loss`."""
        robustness = self.objective.robustness
        if robustness.variant == "review2020":
            return kernel.TABULAR_REVIEW, 1.0
        target = kernel.LOGITS if robustness.variant == "paper2018" else kernel.LOG_SOFTMAX
        return target, 1.0 if robustness.probes == "exact" else robustness.probes**-0.5

    def _inputs(self, batches: Batches) -> tuple[Array, Array, Array, Array]:
        """What the kernel wants of a seed's batches: x, y, masks, probes."""
        x, y = self.train.x[batches.examples], self.train.y[batches.examples]
        classes, batch = self.objective.experiment.num_classes, x.shape[1]
        masks = torch.ones(1, batch, int(self.widths[1:-1].sum()), dtype=x.dtype)
        if batches.noise.masks is not None:
            masks = torch.cat([mask.to(x) for mask in batches.noise.masks], -1)
        probes = torch.eye(classes, dtype=x.dtype).expand(1, batch, classes, classes)
        if batches.probes is not None:
            probes = batches.probes.to(x)
        return _columns(x), y.numpy(), _columns(masks), _columns(probes.movedim(1, 2))

    def _concept_loss(self, batches: Batches) -> Tensor:
        """Of every batch: the identity reconstructs x, what is left are the concepts' sizes."""
        assert self.objective.experiment.sparsity_reg is not None
        sizes = self.train.x[batches.examples].abs().sum((-2, -1))
        return self.objective.experiment.sparsity_reg * sizes


def _columns(x: Tensor) -> Array:
    """x (..., B, rows) as (..., rows, B), contiguous."""
    return x.mT.contiguous().numpy()
