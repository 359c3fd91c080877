"""Relevance propagation as a backward pass in which each layer's rule replaces its derivative.

Autograd calls the layers in the right order and sums the relevance of a value that several layers
use, so networks may branch. Layers that only select or move values need no rule: autograd gives the
relevance to the selected value, in max-pooling to the winner.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from pipeline.core.errors import PipelineError
from pipeline.explanations.relprop.operations import Clone, IndexSelect
from pipeline.models.standard import Presence

DROPOUT = (nn.Dropout, nn.Dropout1d, nn.Dropout2d)
CHOOSING = (
    nn.Flatten, nn.Unflatten, nn.Identity, nn.MaxPool2d, *DROPOUT, IndexSelect, Clone, Presence
)  # fmt: skip

# Their autograd nodes, inside or outside of modules.
_CHOOSING_NODES = (
    "AccumulateGrad", "AliasBackward", "CatBackward", "CloneBackward", "ExpandBackward",
    "IndexSelectBackward", "MaxPool2DWithIndicesBackward", "PermuteBackward",
    "ReshapeAliasBackward", "SelectBackward", "SliceBackward", "SplitBackward", "SqueezeBackward",
    "StackBackward", "TransposeBackward", "UnsafeViewBackward", "UnsqueezeBackward", "ViewBackward",
    "WhereBackward",
)  # fmt: skip


class Rule(Protocol):
    """How one layer passes relevance from its output to its inputs."""

    def __call__(
        self, layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor, relevance: Tensor
    ) -> tuple[Tensor | None, ...]:
        """Relevance of each of `inputs`, None for none; `relevance` is shaped like `output`."""


Pairs: TypeAlias = list[tuple[tuple[type[nn.Module], ...], Rule]]


@dataclass(frozen=True)
class Composite:
    """The rule for each type of layer.

    Attributes
    ----------
    layers : list of (types, rule)
    first : list of (types, rule)
        Takes precedence over `layers` for layers that follow no other layer with a rule.
    """

    layers: Pairs
    first: Pairs

    def rule(self, layer: nn.Module, is_first: bool) -> Rule:
        """The first rule whose types include the type of `layer`.

        A subclass counts as another type, since it may compute anything.

        Raises
        ------
        PipelineError
            If no rule matches.
        """
        for types, rule in (*(self.first if is_first else ()), *self.layers):
            if type(layer) in types:
                return rule
        supported = {one.__name__ for types, _ in self.layers for one in (*types, *CHOOSING)}
        raise PipelineError(
            f"relevance cannot be propagated through a layer of type {type(layer).__name__}: "
            f"there are rules for {', '.join(sorted(supported))}"
        )


def propagate(
    model: nn.Module, x: Tensor, start: Callable[[Tensor], Tensor], composite: Composite
) -> Tensor:
    """Relevance of the inputs.

    Parameters
    ----------
    model : nn.Module
        Made of layers for which `composite` has rules; it is not changed.
    x : (B, *input_shape)
    start : callable
        Maps the output (B, C) to the relevance that it starts with, of the same shape.
    composite : Composite

    Returns
    -------
    (B, *input_shape), not differentiable

    Raises
    ------
    PipelineError
        If the model computes with a layer that has no rule or overwrites its input, or with
        anything but layers; or if dropout is on.
    """
    x = x.detach().requires_grad_()
    with torch.enable_grad(), _rules_at_work(model, composite):
        output = model(x)
    for node in _nodes(output):
        name = node.name().rpartition("::")[2].rstrip("0123456789")
        if not (name in _CHOOSING_NODES or _has_rule(node)):
            raise PipelineError(
                f"relevance cannot be propagated through {node.name()}: it is not part of a layer "
                "with a rule. Models must compute with layers alone"
            )
    (relevance,) = torch.autograd.grad(output, x, start(output.detach()))
    return relevance


@contextmanager
def _rules_at_work(model: nn.Module, composite: Composite) -> Iterator[None]:
    """Inside the context, `model` is differentiated by the rules of `composite`."""

    def hook(
        layer: nn.Module, inputs: tuple[Tensor, ...], keywords: dict[str, Any], output: Tensor
    ) -> Tensor:
        if isinstance(layer, DROPOUT) and layer.training:
            raise PipelineError(
                "relevance propagation needs a model in evaluation mode: call eval()"
            )
        if type(layer) in CHOOSING:
            return output
        if keywords:
            raise PipelineError(f"call {type(layer).__name__} without keyword arguments")
        rule = composite.rule(layer, not any(map(_has_rule, _nodes(inputs[0]))))
        result: Tensor = _Propagation.apply(rule, layer, output.detach(), *inputs)
        return result

    leaves = [module for module in model.modules() if not any(module.children())]
    for leaf in leaves:
        if getattr(leaf, "inplace", False):
            raise PipelineError(
                f"relevance cannot be propagated through a {type(leaf).__name__} that overwrites "
                "its input: make it with inplace=False"
            )
    handles = [leaf.register_forward_hook(hook, with_kwargs=True) for leaf in leaves]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class _Propagation(Function):
    """A layer's output, whose backward pass is the layer's rule."""

    @staticmethod
    def forward(ctx: Any, rule: Rule, layer: nn.Module, output: Tensor, *inputs: Tensor) -> Tensor:
        ctx.rule, ctx.layer = rule, layer
        ctx.save_for_backward(output, *inputs)
        return output.view_as(output)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, relevance: Tensor) -> tuple[Tensor | None, ...]:
        output, *inputs = ctx.saved_tensors
        return None, None, None, *ctx.rule(ctx.layer, tuple(inputs), output, relevance)


def _has_rule(node: Any) -> bool:
    return bool(node.name() == f"{_Propagation.__name__}Backward")


def _nodes(value: Tensor) -> Iterator[Any]:
    """The nodes of the autograd graph of `value`, each once."""
    seen: set[Any] = set()
    waiting = [value.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            yield node
            waiting += [following for following, _ in node.next_functions]
