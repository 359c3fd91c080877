"""A seed's batches: which examples in which order, and what is drawn at random for them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from pipeline.models.senn import Senn, SennNoise
from pipeline.training.objectives import Objective
from pipeline.training.randomness import batch_order, generator
from pipeline.training.robustness import draw_probes


class Batches(NamedTuple):
    """Successive batches of one seed: the same for all its λ.

    `examples` (steps, B) index the training split; `noise` is the model's, (steps, B, ...) each;
    `probes` (steps, B, P, C) are the robustness loss's, None for the exact one.
    """

    examples: Tensor
    noise: SennNoise
    probes: Tensor | None

    def part(self, first: int, end: int) -> "Batches":
        """The batches `first` to `end` - 1."""
        return each_tensor(lambda drawn: drawn[first:end], self)


def draw_batches(
    senn: Senn, objective: Objective, seed: int, epoch: int, examples: int, device: torch.device
) -> Batches:
    """All of `seed`'s batches in `epoch`; the last, incomplete one is dropped, as published."""
    experiment, probes = objective.experiment, objective.robustness.probes
    order = batch_order(seed, epoch, examples, experiment.batch_size)
    noise = generator(seed, "noise", epoch, device)
    drawn = senn.draw_noise(order.numel(), noise)
    signs = None
    if probes != "exact":
        signs = draw_probes((order.numel(), probes, experiment.num_classes), noise)
    noise_and_probes = each_tensor(lambda t: t.unflatten(0, order.shape), (drawn, signs))
    return Batches(order.to(device), *noise_and_probes)


def each_tensor(function: Callable[..., Tensor], *trees: Any) -> Any:
    """`function` of the tensors at every place of equally built `trees`; what is None stays so."""
    return tree_map(lambda *own: None if own[0] is None else function(*own), *trees)
