"""Recurrent layers step by step, as layers that rules of relevance propagation know.

They compute what ``torch.nn.LSTM`` and ``torch.nn.GRU`` do, from weights of the same names, shapes
and order of gates, except that an input that is 0 throughout is none: it leaves the state as it is.
Every product of a cell is a `Gate`, every sum a `Sum`. Nothing is copied: the weights are seen to
change.
"""

from collections.abc import Iterable
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Weights: TypeAlias = tuple[nn.Parameter, nn.Parameter, nn.Parameter, nn.Parameter]
"""weight_ih (G·H, D), weight_hh (G·H, H), bias_ih and bias_hh (G·H,), with G gates."""


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

    A subclass says what a step is.
    """

    def __init__(self, hidden_size: int, is_backward: bool) -> None:
        super().__init__()
        self.hidden_size, self.is_backward = hidden_size, is_backward
        self.gate, self.sum, self.tanh, self.sigmoid = Gate(), Sum(), nn.Tanh(), nn.Sigmoid()

    def start(self, x: Tensor) -> tuple[Tensor, ...]:
        """The state before the first step: h, and what else the cell remembers, (B, H) each."""
        return (x.new_zeros(len(x), self.hidden_size),)

    def step(self, x: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """The state after reading x (B, D)."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        state, steps = self.start(x), range(x.shape[1])
        is_there = (x != 0).any(2, keepdim=True)
        states: dict[int, Tensor] = {}
        for t in reversed(steps) if self.is_backward else steps:
            new = self.step(x[:, t], *state)
            pairs = zip(new, state, strict=True)
            state = tuple(torch.where(is_there[:, t], after, before) for after, before in pairs)
            states[t] = state[0]
        return torch.stack([states[t] for t in steps], 1)


class LstmSteps(Recurrence):
    """c' = f ⊙ c + i ⊙ g, h' = o ⊙ tanh(c') (Hochreiter & Schmidhuber 1997; Gers et al. 2000)."""

    def __init__(self, weights: Weights, is_backward: bool = False) -> None:
        super().__init__(weights[1].shape[1], is_backward)
        self.linear = Joined(weights)

    def start(self, x: Tensor) -> tuple[Tensor, ...]:
        return 2 * super().start(x)

    def step(self, x: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        h, c = state
        i, f, g, o = self.linear(torch.cat([x, h], 1)).chunk(4, 1)
        parts = [self.gate(c, self.sigmoid(f)), self.gate(self.tanh(g), self.sigmoid(i))]
        c = self.sum(torch.stack(parts, 1))
        return self.gate(self.tanh(c), self.sigmoid(o)), c


class GruSteps(Recurrence):
    """h' = (1 - z) ⊙ n + z ⊙ h with n = tanh(W x + b + r ⊙ (U h + b')) (Cho et al. 2014)."""

    def __init__(self, weights: Weights, is_backward: bool = False) -> None:
        super().__init__(weights[1].shape[1], is_backward)
        weight_ih, weight_hh, bias_ih, bias_hh = weights
        self.of_input, self.of_state = _linear(weight_ih, bias_ih), _linear(weight_hh, bias_hh)
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


CELLS: dict[str, type[LstmSteps | GruSteps]] = {"lstm": LstmSteps, "gru": GruSteps}


class Unrolled(nn.Module):
    """What ``torch.nn.LSTM`` or ``GRU`` of one layer gives for every step, in both directions.

    (B, T, D) to (B, T, H), or (B, T, 2H) where it reads backward too.

    Parameters
    ----------
    cell : str
        ``lstm`` or ``gru``.
    directions : the weights of each direction, forward first.
    """

    def __init__(self, cell: str, directions: Iterable[Weights]) -> None:
        super().__init__()
        self.directions = nn.ModuleList(
            CELLS[cell](weights, is_backward=bool(place))
            for place, weights in enumerate(directions)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([direction(x) for direction in self.directions], 2)


def _linear(weight: nn.Parameter, bias: nn.Parameter) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    layer.weight, layer.bias = weight, bias
    return layer
