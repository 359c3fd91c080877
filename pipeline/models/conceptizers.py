"""Conceptizers h: input to K scalar concepts, and back to a reconstruction of the input.

Every conceptizer is called as ``conceptizer(x, noise)`` and answers with `Concepts`. Randomness
comes in as an argument (``draw_noise``), never from a global generator, so that a cell's results
depend on its seed alone; ``noise=None`` is evaluation mode.
"""

import math
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.core import params_choices
from pipeline.core.kinds import kind_of
from pipeline.models import standard
from pipeline.models.layers import Linear, PerChannelLinear, PooledConv2d, TransposedConv2d


class Latent(NamedTuple):
    """Diagonal Gaussian posterior q(z | x): `mean` and `logvar`, each (B, K)."""

    mean: Tensor
    logvar: Tensor


class Concepts(NamedTuple):
    """`values` h(x) (B, K), `reconstruction` of x (B, *input_shape), `latent` of a VAE or None."""

    values: Tensor
    reconstruction: Tensor
    latent: Latent | None


class Conceptizer(nn.Module):
    """What all conceptizers share.

    A new one subclasses this in a file of its own, and has an entry in `params_choices`.

    Attributes
    ----------
    is_aligned : bool
        Whether a concept is the same thing in every example, so that its values can be compared,
        and x rebuilt from them.
    are_inputs : bool
        Whether concepts are parts of the input, and are removed with them.
    """

    is_aligned, are_inputs = True, False

    def as_layers(self) -> list[nn.Module]:
        """`encode` as layers of ``torch.nn``, with the same weights (see `standard`).

        Methods that explain a network layer by layer need it.
        """
        raise standard.unknown("conceptizer", self)

    def encode(self, x: Tensor) -> Tensor:
        """Concepts h(x), (B, K), without noise."""
        raise NotImplementedError

    def decode(self, concepts: Tensor) -> Tensor:
        """Reconstruct the input, (B, *input_shape) in normalised units, from concepts (B, K)."""
        raise NotImplementedError

    def draw_noise(self, batch_size: int, generator: torch.Generator) -> Tensor | None:
        """Training noise for one batch; None if the conceptizer has none."""
        return None

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Concepts:
        concepts = self.encode(x)
        return Concepts(concepts, self.decode(concepts), None)


class IdentityConceptizer(Conceptizer):
    """h(x) = x: the raw features are the concepts (paper, section 3.1)."""

    are_inputs = True

    def __init__(self, input_shape: tuple[int, ...], num_concepts: int | None = None) -> None:
        super().__init__()
        if num_concepts is not None and (num_concepts,) != input_shape:
            raise ValueError(
                "identity needs num_concepts to be the number of features of a table; inputs "
                f"have shape {input_shape}, num_concepts is {num_concepts}"
            )
        self.input_shape = input_shape

    def as_layers(self) -> list[nn.Module]:
        return [nn.Flatten()]

    def encode(self, x: Tensor) -> Tensor:
        return x.flatten(1)

    def decode(self, concepts: Tensor) -> Tensor:
        return concepts.unflatten(1, self.input_shape)


class ConvConceptizer(Conceptizer):
    """Convolutional autoencoder with one scalar per channel (review, section "Settings").

    Encoder: convolutions to `channels` and then `num_concepts` channels, each followed by
    max-pooling by 2 and ReLU, and one linear map per channel to its scalar. Decoder: one linear
    map per concept back to its channel, three transposed convolutions with ReLU between, tanh.
    With `decoder_shared` all concepts have the same map back (the review's ``unlinear``).

    Raises
    ------
    ValueError
        If the layers do not fit `input_shape`.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_concepts: int,
        channels: tuple[int, ...],
        kernel_size: int,
        decoder_channels: tuple[int, int],
        decoder_shared: bool = False,
    ) -> None:
        super().__init__()
        depth, *_ = input_shape
        widths = (depth, *channels, num_concepts)
        self.convolutions = nn.ModuleList(
            PooledConv2d(a, b, kernel_size) for a, b in pairwise(widths)
        )
        self.map_shape = pooled_shape(input_shape, kernel_size, len(self.convolutions))
        area = math.prod(self.map_shape)
        self.to_scalar = PerChannelLinear(num_concepts, area, 1)
        self.from_scalar = PerChannelLinear(1 if decoder_shared else num_concepts, 1, area)
        wide, narrow = decoder_channels
        self.deconvolutions = nn.ModuleList(
            (
                TransposedConv2d(num_concepts, wide, kernel_size, stride=2),
                TransposedConv2d(wide, narrow, kernel_size),
                TransposedConv2d(narrow, depth, 2, stride=2, padding=1),
            )
        )
        rebuilt = self.decode(torch.zeros(1, num_concepts)).shape[1:]
        if rebuilt != input_shape:
            raise ValueError(f"the decoder makes {tuple(rebuilt)} of inputs {tuple(input_shape)}")

    def as_layers(self) -> list[nn.Module]:
        return [
            *standard.pooled_convolutions(self.convolutions),
            standard.to_scalars(self.to_scalar, self.map_shape),
            nn.Flatten(),
        ]

    def encode(self, x: Tensor) -> Tensor:
        for convolution in self.convolutions:
            x = convolution(x)
        return self.to_scalar(x.flatten(2)).squeeze(2)

    def decode(self, concepts: Tensor) -> Tensor:
        x = self.from_scalar(concepts.unsqueeze(2)).unflatten(2, self.map_shape)
        *hidden, last = self.deconvolutions
        for deconvolution in hidden:
            x = F.relu(deconvolution(x))
        return torch.tanh(last(x))


class VaeConceptizer(Conceptizer):
    """β-VAE whose latent means are the concepts (DiSENN; Higgins et al. 2017).

    Encoder and decoder are ReLU perceptrons with `hidden_sizes` between, the decoder ends in a
    sigmoid. With ``target="review2020"`` the sigmoid itself is compared with normalised pixels,
    which it cannot reach outside [0, 1] (as published); with ``"unit"`` it is a pixel in [0, 1],
    brought to normalised units by `mean` and `std`.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        num_concepts: int,
        hidden_sizes: tuple[int, ...],
        target: str,
        mean: float,
        std: float,
    ) -> None:
        super().__init__()
        self.input_shape = input_shape
        self.shift, self.scale = (mean, std) if target == "unit" else (0.0, 1.0)
        widths = (math.prod(input_shape), *hidden_sizes)
        self.encoder = nn.ModuleList(Linear(a, b) for a, b in pairwise(widths))
        self.mean_head = Linear(widths[-1], num_concepts)
        self.logvar_head = Linear(widths[-1], num_concepts)
        widths = (num_concepts, *reversed(widths))
        self.decoder = nn.ModuleList(Linear(a, b) for a, b in pairwise(widths))

    def as_layers(self) -> list[nn.Module]:
        return [nn.Flatten(), *standard.perceptron([*self.encoder, self.mean_head])]

    def posterior(self, x: Tensor) -> Latent:
        """q(z | x) of inputs (B, *input_shape)."""
        x = x.flatten(1)
        for layer in self.encoder:
            x = F.relu(layer(x))
        return Latent(self.mean_head(x), self.logvar_head(x))

    def encode(self, x: Tensor) -> Tensor:
        return self.posterior(x).mean

    def decode(self, concepts: Tensor) -> Tensor:
        *hidden, last = self.decoder
        for layer in hidden:
            concepts = F.relu(layer(concepts))
        # The sigmoid. torch's own rounds the last few numbers of a tensor otherwise than the rest:
        # pixels would depend on how many examples there are.
        pixels = (0.5 + 0.5 * torch.tanh(0.5 * last(concepts))).unflatten(1, self.input_shape)
        return (pixels - self.shift) / self.scale

    def draw_noise(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """Standard normal noise of the reparametrised sample z, (B, K)."""
        shape = (batch_size, self.mean_head.out_features)
        return torch.randn(shape, generator=generator, device=generator.device)

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Concepts:
        latent = self.posterior(x)
        sample = latent.mean
        if noise is not None:
            sample = sample + torch.exp(0.5 * latent.logvar) * noise
        return Concepts(latent.mean, self.decode(sample), latent)


def pooled_shape(input_shape: tuple[int, ...], kernel_size: int, layers: int) -> tuple[int, int]:
    """Height and width after `layers` of an unpadded convolution and max-pooling by 2.

    Raises
    ------
    ValueError
        If the input is not an image, or too small for so many layers.
    """
    if kind_of(input_shape) != "images":
        raise ValueError(f"convolutions need images (channels, height, width), got {input_shape}")
    height, width = params_choices.pooled_shape(input_shape, kernel_size, layers)
    if min(height, width) < 1:
        raise ValueError(f"inputs {input_shape} are too small for {layers} convolutions")
    return height, width
