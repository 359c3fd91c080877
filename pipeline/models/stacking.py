"""Many models of one architecture: their weights in one matrix, a row each, or computed at once."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from pipeline.models.layers import plain
from pipeline.models.senn import Senn

_ALIGNMENT = 64  # numbers: whole cache lines, and whole turns of every vectorised loop


def stacked_weights(models: Sequence[Senn], device: torch.device) -> Tensor:
    """The weights of `models` on `device`, (models, numbers), a row each in the order given.

    In a row each parameter begins at a multiple of 64 numbers, so that the same arithmetic is done
    to the last bit for every model.
    """
    size = sum(_padded(value.numel()) for value in models[0].parameters())
    dtype = next(models[0].parameters()).dtype
    weights = torch.zeros(len(models), size, device=device, dtype=dtype)
    for row, model in zip(weights, models, strict=True):
        for name, view in views(models[0], row).items():
            view.copy_(model.get_parameter(name).detach())
    return weights


def views(model: Senn, rows: Tensor) -> dict[str, Tensor]:
    """By name, where the parameters of models like `model` are in `rows` (..., numbers)."""
    starts = places(model)
    return {
        name: rows[..., starts[name] : starts[name] + value.numel()].unflatten(-1, value.shape)
        for name, value in model.named_parameters()
    }


def on_row(model: Senn, row: Tensor) -> Senn:
    """A copy of `model` whose parameters are views of `row` (numbers,)."""
    senn = copy.deepcopy(model)
    for name, view in views(model, row).items():
        folder, _, leaf = name.rpartition(".")
        setattr(senn.get_submodule(folder), leaf, nn.Parameter(view))
    return senn


def unstack(model: Senn, row: Tensor) -> dict[str, Tensor]:
    """The state dict of one model of `model`'s architecture, from its row of stacked weights."""
    return {name: view.clone() for name, view in views(model, row).items()}


def of_weights(senn: Senn, function: Callable[..., Any]) -> Callable[..., Any]:
    """``function(senn, ...)`` as ``f(weights, ...)``, of weights by name."""
    module = _Calling(senn, function)

    def called(weights: dict[str, Tensor], *inputs: Any) -> Any:
        named = {f"senn.{name}": value for name, value in weights.items()}
        return functional_call(module, named, inputs)

    return called


def of_all(models: Sequence[Senn], function: Callable[..., Any]) -> Callable[..., Any]:
    """``function(model, ...)`` of all `models` as one computation, differentiable in its inputs.

    Its inputs have the models' dimension second, (B, M, ...), and so have its results.
    """
    parameters, buffers = stack_module_state(list(models))
    weights = {name: value.detach() for name, value in (parameters | buffers).items()}
    called = of_weights(plain(copy.deepcopy(models[0])), function)

    def of_inputs(*inputs: Tensor) -> Any:
        return vmap(called, (0, *[1] * len(inputs)), 1)(weights, *inputs)

    return of_inputs


class _Calling(nn.Module):
    """``function(senn, ...)`` as a module."""

    def __init__(self, senn: Senn, function: Callable[..., Any]) -> None:
        super().__init__()
        self.senn, self.function = senn, function

    def forward(self, *inputs: Any) -> Any:
        return self.function(self.senn, *inputs)


def places(model: Senn) -> dict[str, int]:
    """Where each parameter of one `model` begins in its row."""
    starts, end = {}, 0
    for name, value in model.named_parameters():
        starts[name] = end
        end += _padded(value.numel())
    return starts


def _padded(numbers: int) -> int:
    return -(-numbers // _ALIGNMENT) * _ALIGNMENT
