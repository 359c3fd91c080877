"""Recurrent layers over sequences of vectors, with the weights and the results of ``torch.nn``'s.

A zero vector is no input: the state passes it unchanged. So padding changes nothing, in either
direction, and to set an input to zero is to delete it from the sequence.

What comes from the inputs alone is computed for all of a sequence at once, and both directions take
each step together. Sequences are stored as (T, D, ·, B), D directions and the batch last: a gate of
all examples then is one block of memory.
"""

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from pipeline.core.dataset import is_word
from pipeline.models.layers import product


class Recurrent(nn.Module):
    """What `Gru` and `Lstm` share.

    Its weights are those of ``torch.nn.GRU`` and ``torch.nn.LSTM`` with one layer, stacked over the
    D directions, 1 or 2: `weight_ih` (D, G·H, I) and `weight_hh` (D, G·H, H), `bias_ih` and
    `bias_hh` (D, G·H), with H hidden units, I inputs and G gates. `kept` is how many tensors it
    keeps from step to step, the state h first.
    """

    gates: ClassVar[int]
    kept: ClassVar[int]
    is_plain = False

    def __init__(self, inputs: int, hidden_size: int, bidirectional: bool = False) -> None:
        super().__init__()
        self.hidden_size, self.directions = hidden_size, 1 + bidirectional
        bound, rows = 1 / math.sqrt(hidden_size), self.gates * hidden_size

        def drawn(*shape: int) -> nn.Parameter:
            weights = torch.empty(self.directions, rows, *shape)
            return nn.Parameter(weights.uniform_(-bound, bound))

        self.weight_ih, self.weight_hh = drawn(inputs), drawn(hidden_size)
        self.bias_ih, self.bias_hh = drawn(), drawn()

    def forward(self, x: Tensor) -> Tensor:
        """The states (B, T, D·H) of sequences x (B, T, I); of the second direction, after t to T.

        Where there is no input, the state is that of the last one before.
        """
        of_inputs, is_absent = _both_ways(self._of_inputs(x)), self._absence(x)
        bias = self.bias_hh.unsqueeze(-1).expand(-1, -1, len(x))
        state = (x.new_zeros(self.directions, self.hidden_size, len(x)),) * self.kept
        states = []
        for of_input, absent in zip(of_inputs.unbind(0), is_absent.unbind(0), strict=True):
            of_state = product(self.weight_hh, state[0], self.is_plain) + bias
            changed = self.step(of_input, of_state, *state)
            state = tuple(new.lerp(old, absent) for new, old in zip(changed, state, strict=True))
            states.append(state[0])
        return _both_ways(torch.stack(states)).permute(3, 0, 1, 2).flatten(2)

    def _of_inputs(self, x: Tensor) -> Tensor:
        """What every input adds to the gates, (T, D, G·H, B)."""
        weight = self.weight_ih.flatten(0, 1)
        gates = product(x.flatten(0, 1), weight.mT, self.is_plain) + self.bias_ih.flatten()
        gates = gates.unflatten(0, x.shape[:2]).unflatten(2, (self.directions, -1))
        return gates.permute(1, 2, 3, 0).contiguous()

    def _absence(self, x: Tensor) -> Tensor:
        """1 where there is no input and 0 elsewhere, (T, D, H, B)."""
        absent = 1 - is_word(x).to(x.dtype).mT[:, None, None]
        absent = _both_ways(absent.expand(-1, self.directions, -1, -1))
        return absent.expand(-1, -1, self.hidden_size, -1)

    def step(self, of_input: Tensor, of_state: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """The next state (D, H, B), with what else is kept, from the gates (D, G·H, B)."""
        raise NotImplementedError


class Gru(Recurrent):
    """``torch.nn.GRU``: gates r, z and the candidate n; h' = (1 − z) n + z h."""

    gates, kept = 3, 1

    def step(self, of_input: Tensor, of_state: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        (h,) = state
        sizes = [2 * self.hidden_size, self.hidden_size]
        (rz, n), (rz_of_h, n_of_h) = of_input.split(sizes, 1), of_state.split(sizes, 1)
        r, z = _sigmoid(rz + rz_of_h).chunk(2, 1)
        n = torch.tanh(n + r * n_of_h)
        return (n.lerp(h, z),)


class Lstm(Recurrent):
    """``torch.nn.LSTM``: gates i, f, g and o; c' = f c + i g, h' = o tanh c'."""

    gates, kept = 4, 2

    def step(self, of_input: Tensor, of_state: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        _, c = state
        i, f, g, o = (of_input + of_state).chunk(4, 1)
        c = _sigmoid(f) * c + _sigmoid(i) * torch.tanh(g)
        return _sigmoid(o) * torch.tanh(c), c


def _sigmoid(x: Tensor) -> Tensor:
    # torch's own rounds the last few numbers of a tensor otherwise than the rest.
    return 0.5 + 0.5 * torch.tanh(0.5 * x)


def _both_ways(steps: Tensor) -> Tensor:
    """Steps (T, D, …), those of the second direction in reverse."""
    return torch.cat([steps[:, :1], steps[:, 1:].flip(0)], 1)
