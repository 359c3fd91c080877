"""The self-explaining neural network f(x) = g(θ(x), h(x)).

SENN and DiSENN are one model: in DiSENN the conceptizer is a β-VAE, and `SennOutput.latent` is
there.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

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


Aggregator = Callable[[Tensor, Tensor], Tensor]
"""g, of concepts (B, K) and relevances (B, K, C): logits (B, C)."""


def sum_aggregator(concepts: Tensor, relevances: Tensor) -> Tensor:
    """f_c = Σ_k θ_kc h_k (paper, definition 3.1 with g = sum)."""
    return (concepts.unsqueeze(-1) * relevances).sum(-2)


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


def logits(model: nn.Module, x: Tensor) -> Tensor:
    """Logits (B, C) of inputs (B, *input_shape), of a `Senn` or a module that answers with them.

    For methods to which the model is a differentiable function; a `Senn` computes so twice as fast
    as by its `layered` form, which those need that go through it layer by layer.
    """
    if isinstance(model, Senn):
        return model.aggregator(model.conceptizer.encode(x), model.parameterizer(x))
    answered: Tensor = model(x)
    return answered


def target_logit(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    """The logit f_c(x) of each example's class c = `target`, (B,)."""
    return logits(model, x).gather(1, target.unsqueeze(1)).squeeze(1)
