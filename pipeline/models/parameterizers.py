"""Parameterizers θ: input to one relevance per concept and class, (B, K, C).

Dropout masks come in as an argument (``draw_noise``), scaled by 1 / (1 - p) already; ``masks=None``
is evaluation mode.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.models import standard
from pipeline.models.conceptizers import pooled_shape
from pipeline.models.layers import Linear, PooledConv2d

Masks = tuple[Tensor, ...]


class Parameterizer(nn.Module):
    """What all parameterizers share.

    A new one subclasses this in a file of its own, and has an entry in `params_choices`.
    """

    def __init__(
        self,
        num_concepts: int,
        num_classes: int,
        dropout: float,
        mask_shapes: list[tuple[int, ...]],
    ) -> None:
        super().__init__()
        self.num_concepts, self.num_classes, self.dropout = num_concepts, num_classes, dropout
        self.mask_shapes = mask_shapes  # of every dropout mask in the order of use, no batch

    def as_layers(self) -> list[nn.Module]:
        """The same as layers of ``torch.nn`` in evaluation mode; as a conceptizer's."""
        raise standard.unknown("parameterizer", self)

    def draw_noise(self, batch_size: int, generator: torch.Generator) -> Masks | None:
        """Inverted-dropout masks for one batch; None without dropout or units to drop."""
        if self.dropout == 0 or not self.mask_shapes:
            return None
        keep = 1 - self.dropout
        return tuple(
            torch.empty((batch_size, *shape), device=generator.device)
            .bernoulli_(keep, generator=generator)
            .div_(keep)
            for shape in self.mask_shapes
        )


class MlpParameterizer(Parameterizer):
    """Perceptron with ReLU (and dropout) between its layers."""

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_concepts: int,
        num_classes: int,
        hidden_sizes: tuple[int, ...],
        dropout: float,
    ) -> None:
        super().__init__(num_concepts, num_classes, dropout, [(size,) for size in hidden_sizes])
        widths = (math.prod(input_shape), *hidden_sizes, num_concepts * num_classes)
        self.layers = nn.ModuleList(Linear(a, b) for a, b in pairwise(widths))

    def as_layers(self) -> list[nn.Module]:
        relevances = nn.Unflatten(1, (self.num_concepts, self.num_classes))
        return [nn.Flatten(), *standard.perceptron(self.layers), relevances]

    def forward(self, x: Tensor, masks: Masks | None = None) -> Tensor:
        x = x.flatten(1)
        *hidden, last = self.layers
        for index, layer in enumerate(hidden):
            x = F.relu(_drop(layer(x), masks, index))
        return last(x).unflatten(1, (self.num_concepts, self.num_classes))


class ConvParameterizer(Parameterizer):
    """Convolutions, then linear layers, then tanh (review, section "Settings").

    Every convolution is followed by max-pooling by 2 and ReLU, the last one by channel dropout
    before them. Every linear layer is followed by dropout, the last one too, so that in training
    a relevance is dropped before the tanh, as published.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_concepts: int,
        num_classes: int,
        channels: tuple[int, ...],
        kernel_size: int,
        hidden_sizes: tuple[int, ...],
        dropout: float,
    ) -> None:
        linear_sizes = (*hidden_sizes, num_concepts * num_classes)
        masks = [(channels[-1], 1, 1), *((size,) for size in linear_sizes)]
        super().__init__(num_concepts, num_classes, dropout, masks)
        widths = (input_shape[0], *channels)
        self.convolutions = nn.ModuleList(
            PooledConv2d(a, b, kernel_size) for a, b in pairwise(widths)
        )
        area = math.prod(pooled_shape(input_shape, kernel_size, len(channels)))
        widths = (channels[-1] * area, *linear_sizes)
        self.layers = nn.ModuleList(Linear(a, b) for a, b in pairwise(widths))

    def as_layers(self) -> list[nn.Module]:
        return [
            *standard.pooled_convolutions(self.convolutions),
            nn.Flatten(),
            *standard.perceptron(self.layers),
            nn.Tanh(),
            nn.Unflatten(1, (self.num_concepts, self.num_classes)),
        ]

    def forward(self, x: Tensor, masks: Masks | None = None) -> Tensor:
        for convolution in self.convolutions:
            x = convolution(x)
        # A mask ≥ 0 per channel commutes with max-pooling and ReLU, and is cheaper after them.
        x = _drop(x, masks, 0).flatten(1)
        *hidden, last = self.layers
        for index, layer in enumerate(hidden, start=1):
            x = F.relu(_drop(layer(x), masks, index))
        x = torch.tanh(_drop(last(x), masks, len(self.layers)))
        return x.unflatten(1, (self.num_concepts, self.num_classes))


def _drop(x: Tensor, masks: Sequence[Tensor] | None, index: int) -> Tensor:
    return x if masks is None else x * masks[index]
