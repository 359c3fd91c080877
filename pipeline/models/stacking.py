"""Many models of one architecture as one module whose weights have a model dimension in front."""

import copy
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pipeline.models.senn import Senn

_ALIGNMENT = 64  # numbers: whole cache lines, and whole turns of every vectorised loop


class Stacked(NamedTuple):
    """A `Senn` of many models, and where all their weights and gradients are.

    `senn` takes inputs (models, B, *input_shape), and all its outputs have the models in front.
    `weights` is (models, numbers), one row each; the parameters of `senn` are views of it, and
    `gradients`, in their order, views of ``weights.grad``. In a row each begins at a multiple of 64
    numbers, so that the same arithmetic is done to the last bit for every model.
    """

    senn: Senn
    weights: Tensor
    gradients: list[Tensor]

    def differentiate(self, loss: Tensor) -> None:
        """Put the gradient of `loss`, a scalar, into ``weights.grad``."""
        found = torch.autograd.grad(loss, list(self.senn.parameters()))
        for place, gradient in zip(self.gradients, found, strict=True):
            place.copy_(gradient)


def stacked_weights(models: Sequence[Senn], device: torch.device) -> Tensor:
    """The weights of `models` on `device`, (models, numbers), a row each in the order given."""
    sources = [dict(model.named_parameters()) for model in models]
    size = sum(_padded(value.numel()) for value in sources[0].values())
    dtype = next(models[0].parameters()).dtype
    weights = torch.zeros(len(models), size, device=device, dtype=dtype)
    for name, place in places(models[0]).items():
        own = torch.stack([source[name].detach() for source in sources])
        _view(weights, place, sources[0][name]).copy_(own)
    return weights


def stacked_on(model: Senn, weights: Tensor, gradient: Tensor) -> Stacked:
    """Models of the architecture of `model` whose rows are `weights`, with gradient `gradient`."""
    senn, starts = copy.deepcopy(model), places(model)
    gradients = []
    for name, value in model.named_parameters():
        gradients.append(_view(gradient, starts[name], value))
        folder, _, leaf = name.rpartition(".")
        parameter = nn.Parameter(_view(weights, starts[name], value))
        setattr(senn.get_submodule(folder), leaf, parameter)
    return Stacked(senn, weights, gradients)


def unstack(model: Senn, row: Tensor) -> dict[str, Tensor]:
    """The state dict of one model of `model`'s architecture, from its row of stacked weights."""
    parameters = dict(model.named_parameters())
    return {
        name: _view(row, place, parameters[name]).clone() for name, place in places(model).items()
    }


def places(model: Senn) -> dict[str, int]:
    """Where each parameter of one `model` begins in its row."""
    starts, end = {}, 0
    for name, value in model.named_parameters():
        starts[name] = end
        end += _padded(value.numel())
    return starts


def _padded(numbers: int) -> int:
    return -(-numbers // _ALIGNMENT) * _ALIGNMENT


def _view(rows: Tensor, place: int, like: Tensor) -> Tensor:
    return rows[..., place : place + like.numel()].unflatten(-1, like.shape)
