"""The self-explaining neural network f(x) = g(θ(x), h(x)).

SENN and DiSENN are one model: in DiSENN the conceptizer is a β-VAE, and `SennOutput.latent` is
there.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from pipeline.models.aggregators import Aggregator, sum_aggregator
from pipeline.models.conceptizers import Conceptizer, Latent
from pipeline.models.parameterizers import Masks, Parameterizer


class SennNoise(NamedTuple):
    """Randomness of one training batch: dropout masks and VAE noise, each None if not used."""

    masks: Masks | None
    latent: Tensor | None

    def silence(self, first: int) -> None:
        """In place, evaluation mode for example `first` and those after it: masks 1, z = mean."""
        for mask in self.masks or ():
            mask[first:] = 1
        if self.latent is not None:
            self.latent[first:] = 0


class SennOutput(NamedTuple):
    """Everything the model says of a batch.

    `logits` (B, C), `concepts` (B, K), `relevances` (B, K, C), `reconstruction` (B, *input_shape)
    in normalised units, `latent` of the β-VAE or None.
    """

    logits: Tensor
    concepts: Tensor
    relevances: Tensor
    reconstruction: Tensor
    latent: Latent | None


class Senn(nn.Module):
    """SENN (Alvarez-Melis & Jaakkola 2018, definition 3.1); with a `VaeConceptizer`, DiSENN.

    Examples
    --------
    >>> output = senn(x)                     # evaluation: no dropout, z = mean
    >>> output.logits.argmax(1)              # the prediction
    >>> output.relevances[..., 3]            # what speaks for class 3, per concept
    """

    def __init__(
        self,
        conceptizer: Conceptizer,
        parameterizer: Parameterizer,
        aggregator: Aggregator = sum_aggregator,
    ) -> None:
        super().__init__()
        self.conceptizer, self.parameterizer = conceptizer, parameterizer
        self.aggregator = aggregator

    def draw_noise(self, batch_size: int, generator: torch.Generator) -> SennNoise:
        """Randomness for one training batch, on the generator's device."""
        return SennNoise(
            self.parameterizer.draw_noise(batch_size, generator),
            self.conceptizer.draw_noise(batch_size, generator),
        )

    def forward(self, x: Tensor, noise: SennNoise | None = None) -> SennOutput:
        masks, latent_noise = (None, None) if noise is None else noise
        concepts = self.conceptizer(x, latent_noise)
        relevances = self.parameterizer(x, masks)
        return SennOutput(
            self.aggregator(concepts.values, relevances),
            concepts.values,
            relevances,
            concepts.reconstruction,
            concepts.latent,
        )
