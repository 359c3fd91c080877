"""Layers that rules of relevance propagation know, with a model's weights.

What a `Conceptizer` or `Parameterizer` returns from ``as_layers`` is made of them. Those of
``torch.nn`` compute what those of `layers` do; libraries of explanations know no others. `Unrolled`
computes what a layer of `recurrent` does, step by step: every product of a cell is a `Gate`, every
sum a `Sum`. Nothing is copied: a layer made here sees the model's weights change.
"""

from collections.abc import Iterable
from typing import ClassVar, TypeAlias, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.core.dataset import is_word, present
from pipeline.core.errors import PipelineError
from pipeline.models.layers import PerChannelLinear
from pipeline.models.recurrent import Gru, Lstm, Recurrent

LayerT = TypeVar("LayerT", nn.Linear, nn.Conv2d)

Weights: TypeAlias = tuple[nn.Parameter, nn.Parameter, nn.Parameter, nn.Parameter]
"""weight_ih (G·H, D), weight_hh (G·H, H), bias_ih and bias_hh (G·H,), with G gates."""


def unknown(part: str, value: object) -> PipelineError:
    """What to raise where `part` of a model, `value`, is not known as layers."""
    name = getattr(value, "__name__", type(value).__name__)
    return PipelineError(
        f"{part} {name} has no equivalent in layers of torch.nn: it needs a method `as_layers`"
    )


def perceptron(linear: Iterable[nn.Module]) -> list[nn.Module]:
    """The linear layers with ReLU between them."""
    layers: list[nn.Module] = []
    for layer in linear:
        assert isinstance(layer, nn.Linear)
        layers += [linear_layer(layer.weight, layer.bias), nn.ReLU()]
    return layers[:-1]


def linear_layer(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """A linear layer with these parameters, (outputs, inputs) and (outputs,)."""
    outputs, inputs = weight.shape
    return _with_weights(nn.Linear(inputs, outputs, device="meta"), weight, bias)


def pooled_convolutions(convolutions: Iterable[nn.Module]) -> list[nn.Module]:
    """Every `PooledConv2d` as convolution, max-pooling and ReLU."""
    layers: list[nn.Module] = []
    for layer in convolutions:
        assert isinstance(layer, nn.Conv2d)
        outputs, inputs, *kernel = layer.weight.shape
        standard = nn.Conv2d(inputs, outputs, (kernel[0], kernel[1]), device="meta")
        layers += [_with_weights(standard, layer.weight, layer.bias), nn.MaxPool2d(2), nn.ReLU()]
    return layers


def to_scalars(layer: PerChannelLinear, map_shape: tuple[int, int]) -> nn.Conv2d:
    """One linear map to a scalar per channel: a grouped convolution to (B, K, 1, 1)."""
    channels = len(layer.weight)
    standard = nn.Conv2d(channels, channels, map_shape, groups=channels, device="meta")
    weight = _view(layer.weight, (channels, 1, *map_shape))
    return _with_weights(standard, weight, _view(layer.bias, (channels,)))


class Gate(nn.Module):
    """signal ⊙ gate, two tensors of one shape."""

    def forward(self, signal: Tensor, gate: Tensor) -> Tensor:
        return signal * gate


class Complement(nn.Module):
    """1 - gate."""

    def forward(self, gate: Tensor) -> Tensor:
        return 1 - gate


class Sum(nn.Module):
    """Sum over the second dimension: (B, P, ...) to (B, ...)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.sum(1)


class Joined(nn.Module):
    """x W_ihᵀ + h W_hhᵀ + b_ih + b_hh, one linear map of x and h side by side, (B, D + H)."""

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh = weights

    @property
    def weight(self) -> Tensor:
        """(outputs, D + H)."""
        return torch.cat([self.weight_ih, self.weight_hh], 1)

    @property
    def bias(self) -> Tensor:
        """(outputs,)."""
        return self.bias_ih + self.bias_hh

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


class Recurrence(nn.Module):
    """A cell at work on a sequence: (B, T, D) to its states (B, T, H), from zeros.

    A subclass says what a step is, and how many tensors are `kept` from one to the next, h first.
    """

    kept: ClassVar[int]

    def __init__(self, hidden_size: int, is_backward: bool) -> None:
        super().__init__()
        self.hidden_size, self.is_backward = hidden_size, is_backward
        self.gate, self.sum, self.tanh, self.sigmoid = Gate(), Sum(), nn.Tanh(), nn.Sigmoid()

    def step(self, x: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """The state after reading x (B, D)."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        state, steps = (x.new_zeros(len(x), self.hidden_size),) * self.kept, range(x.shape[1])
        is_there = present(x)
        states: dict[int, Tensor] = {}
        for t in reversed(steps) if self.is_backward else steps:
            new = self.step(x[:, t], *state)
            pairs = zip(new, state, strict=True)
            state = tuple(torch.where(is_there[:, t], after, before) for after, before in pairs)
            states[t] = state[0]
        return torch.stack([states[t] for t in steps], 1)


class LstmSteps(Recurrence):
    """c' = f ⊙ c + i ⊙ g, h' = o ⊙ tanh(c') (Hochreiter & Schmidhuber 1997; Gers et al. 2000)."""

    kept = 2

    def __init__(self, weights: Weights, is_backward: bool = False) -> None:
        super().__init__(weights[1].shape[1], is_backward)
        self.linear = Joined(weights)

    def step(self, x: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        h, c = state
        i, f, g, o = self.linear(torch.cat([x, h], 1)).chunk(4, 1)
        parts = [self.gate(c, self.sigmoid(f)), self.gate(self.tanh(g), self.sigmoid(i))]
        c = self.sum(torch.stack(parts, 1))
        return self.gate(self.tanh(c), self.sigmoid(o)), c


class GruSteps(Recurrence):
    """h' = (1 - z) ⊙ n + z ⊙ h with n = tanh(W x + b + r ⊙ (U h + b')) (Cho et al. 2014)."""

    kept = 1

    def __init__(self, weights: Weights, is_backward: bool = False) -> None:
        super().__init__(weights[1].shape[1], is_backward)
        weight_ih, weight_hh, bias_ih, bias_hh = weights
        self.of_input = linear_layer(weight_ih, bias_ih)
        self.of_state = linear_layer(weight_hh, bias_hh)
        self.complement = Complement()

    def step(self, x: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        (h,) = state
        of_input, of_state = self.of_input(x).chunk(3, 1), self.of_state(h).chunk(3, 1)
        of_r, of_z, (new, old) = zip(of_input, of_state, strict=True)
        r, z = self.sigmoid(self._total(of_r)), self.sigmoid(self._total(of_z))
        n = self.tanh(self._total((new, self.gate(old, r))))
        return (self._total((self.gate(n, self.complement(z)), self.gate(h, z))),)

    def _total(self, parts: Iterable[Tensor]) -> Tensor:
        total: Tensor = self.sum(torch.stack(list(parts), 1))
        return total


STEPS: dict[type[Recurrent], type[LstmSteps | GruSteps]] = {Lstm: LstmSteps, Gru: GruSteps}


class Unrolled(nn.Module):
    """A recurrent layer, (B, T, D) to its states (B, T, H), or (B, T, 2H) in both directions."""

    def __init__(self, layer: Recurrent) -> None:
        super().__init__()
        steps = STEPS[type(layer)]
        self.directions = nn.ModuleList(
            steps(_weights(layer, place), is_backward=bool(place))
            for place in range(layer.directions)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([direction(x) for direction in self.directions], 2)


class Presence(nn.Module):
    """1 for every word of a text (B, T, D), 0 where there is none: (B, T)."""

    def forward(self, x: Tensor) -> Tensor:
        return is_word(x).to(x.dtype)


class OfWords(nn.Module):
    """What `layers` give for every word of a text (B, T, D), (B, T, C); 0 where there is none."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers, self.presence, self.gate = nn.Sequential(*layers), Presence(), Gate()

    def forward(self, x: Tensor) -> Tensor:
        values = self.layers(x)
        gated: Tensor = self.gate(values, self.presence(x).unsqueeze(2).expand_as(values))
        return gated


class WordSum(nn.Module):
    """Logits f_c = Σ_w θ_wc h_w of the presence h (B, T) of words and relevances θ (B, T, C).

    Presence decides which θ count, so it is the gate, and θ has all relevance.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.sum = Gate(), Sum()

    def forward(self, presence: Tensor, relevances: Tensor) -> Tensor:
        gated = self.gate(relevances, presence.unsqueeze(2).expand_as(relevances))
        logits: Tensor = self.sum(gated)
        return logits


def _weights(layer: Recurrent, direction: int) -> Weights:
    """Those of one direction, the same numbers in memory."""

    def part(weight: nn.Parameter) -> nn.Parameter:
        return nn.Parameter(weight.detach()[direction], weight.requires_grad)

    return part(layer.weight_ih), part(layer.weight_hh), part(layer.bias_ih), part(layer.bias_hh)


def _view(parameter: nn.Parameter, shape: tuple[int, ...]) -> nn.Parameter:
    """The same numbers in memory, in another shape."""
    return nn.Parameter(parameter.detach().view(shape), parameter.requires_grad)


def _with_weights(layer: LayerT, weight: Tensor, bias: Tensor | None) -> LayerT:
    """`layer` with these parameters for its own."""
    assert isinstance(weight, nn.Parameter) and weight.shape == layer.weight.shape
    assert isinstance(bias, nn.Parameter) and bias.shape == weight.shape[:1]
    layer.weight, layer.bias = weight, bias
    return layer
