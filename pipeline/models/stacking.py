"""Many models of one architecture as one module whose weights have model dimensions in front."""

import copy
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pipeline.models.senn import Senn

_ALIGNMENT = 64  # numbers: whole cache lines, and whole turns of every vectorised loop


class Stacked(NamedTuple):
    """A `Senn` of many models, and where all their weights and gradients are.

    `senn` takes inputs (*shape, B, *input_shape), and all its outputs have `shape` in front.
    `weights` is (*shape, numbers), one row a model; the parameters of `senn` are views of it, and
    `gradients`, in their order, views of ``weights.grad``. Every parameter starts at a multiple of
    64 numbers, so that the same arithmetic is done to the last bit for every model.
    """

    senn: Senn
    weights: Tensor
    gradients: list[Tensor]

    def differentiate(self, loss: Tensor) -> None:
        """Put the gradient of `loss`, a scalar, into ``weights.grad``."""
        found = torch.autograd.grad(loss, list(self.senn.parameters()))
        for place, gradient in zip(self.gradients, found, strict=True):
            place.copy_(gradient)


def stack(models: Sequence[Senn], shape: tuple[int, ...], device: torch.device) -> Stacked:
    """Stack `models`, in the order given, into `shape` on `device`."""
    senn = copy.deepcopy(models[0])
    sources = [dict(model.named_parameters()) for model in models]
    places = _places(models[0])
    size = sum(_padded(value.numel()) for value in sources[0].values())
    weights = torch.zeros(*shape, size, device=device)
    weights.grad = torch.zeros_like(weights)
    gradients = []
    for name, place in places.items():
        parameter = nn.Parameter(_view(weights, place, sources[0][name]))
        together = torch.stack([own[name].detach() for own in sources]).unflatten(0, shape)
        parameter.data.copy_(together)
        gradients.append(_view(weights.grad, place, sources[0][name]))
        folder, _, leaf = name.rpartition(".")
        setattr(senn.get_submodule(folder), leaf, parameter)
    return Stacked(senn, weights, gradients)


def unstack(model: Senn, row: Tensor) -> dict[str, Tensor]:
    """The state dict of one model of `model`'s architecture, from its row of stacked weights."""
    parameters = dict(model.named_parameters())
    return {
        name: _view(row, place, parameters[name]).clone() for name, place in _places(model).items()
    }


def _places(model: Senn) -> dict[str, int]:
    """Where each parameter begins in a model's row."""
    places, end = {}, 0
    for name, value in model.named_parameters():
        places[name] = end
        end += _padded(value.numel())
    return places


def _padded(numbers: int) -> int:
    return -(-numbers // _ALIGNMENT) * _ALIGNMENT


def _view(rows: Tensor, place: int, like: Tensor) -> Tensor:
    return rows[..., place : place + like.numel()].unflatten(-1, like.shape)
