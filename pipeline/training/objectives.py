"""The losses: L = L_y + λ L_θ + concept_reg · L_h."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from pipeline.core.params import Experiment, Robustness, Vae
from pipeline.models.conceptizers import Concepts, Latent, VaeConceptizer
from pipeline.models.senn import Senn, SennNoise, SennOutput
from pipeline.training.robustness import Linearised, linearise, robustness_loss


class Losses(NamedTuple):
    """The terms of the total loss of one batch before their weights, a number each."""

    total: Tensor
    classification: Tensor
    robustness: Tensor
    concept: Tensor


class Objective(NamedTuple):
    """The loss that an experiment's models are trained with."""

    experiment: Experiment
    robustness: Robustness
    vae: Vae

    def __call__(
        self,
        senn: Senn,
        robust_reg: Tensor | float,
        x: Tensor,
        y: Tensor,
        noise: SennNoise | None,
        probes: Tensor | None,
        linearise: Callable[..., Linearised] = linearise,
    ) -> Losses:
        """Losses at robustness strength λ, a scalar, of the batch x (B, *input_shape), y (B,).

        `probes` are (B, P, C), or None for the exact robustness loss.
        """
        if probes is not None:
            probes = probes.movedim(1, 0)
        at = linearise(senn, x, noise)
        log_p = at.output.logits.log_softmax(1)
        classification = -log_p.gather(1, y.unsqueeze(1)).mean()  # F.cross_entropy takes 20 kernels
        robustness = robustness_loss(at, self.robustness.variant, self.robustness.reduction, probes)
        concept = self.concept_loss(senn, at.output, x)
        total = classification + robust_reg * robustness + self.experiment.concept_reg * concept
        return Losses(total, classification, robustness, concept)

    def concept_loss(self, senn: Senn, output: SennOutput, x: Tensor) -> Tensor:
        """L_h: of an autoencoder with sparse concepts (SENN), or of the β-VAE (DiSENN)."""
        conceptizer = senn.conceptizer
        if isinstance(conceptizer, VaeConceptizer):
            assert self.experiment.beta is not None
            return vae_loss(conceptizer, output, x, self.experiment.beta, self.vae.objective)
        assert self.experiment.sparsity_reg is not None
        error = (output.reconstruction - x).square().mean()
        return error + self.experiment.sparsity_reg * output.concepts.abs().sum()


def vae_loss(
    conceptizer: VaeConceptizer,
    concepts: Concepts | SennOutput,
    x: Tensor,
    beta: float,
    objective: str,
) -> Tensor:
    """Reconstruction error + β KL(q(z | x) ‖ N(0, 1)), summed over latents, mean over the batch.

    The squared error is, under ``objective="review2020"``, the mean over pixels, which makes its β
    worth β · pixels; under ``"elbo"`` the sum over pixels (a Gaussian decoder of variance 1/2, up
    to a constant; Higgins et al. 2017, eq. 4). It is measured in the units of the decoder's
    target, pixels in [0, 1] for ``target="unit"``.
    """
    assert concepts.latent is not None
    kl = kl_to_standard_normal(concepts.latent)
    return reconstruction_error(conceptizer, concepts, x, objective) + beta * kl


def reconstruction_error(
    conceptizer: VaeConceptizer, concepts: Concepts | SennOutput, x: Tensor, objective: str
) -> Tensor:
    """The β-VAE's squared error, mean over the batch, as `vae_loss` takes it."""
    error = (concepts.reconstruction - x) * conceptizer.scale
    squares = error.square().flatten(1)
    per_example = squares.mean(1) if objective == "review2020" else squares.sum(1)
    return per_example.mean()


def kl_to_standard_normal(latent: Latent) -> Tensor:
    """KL(N(mean, exp(logvar)) ‖ N(0, 1)), summed over latents, mean over the batch, in nats."""
    mean, logvar = latent
    kl = 0.5 * (mean.square() + torch.exp(logvar) - 1 - logvar)
    return kl.sum(1).mean()
