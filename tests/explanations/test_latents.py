import torch

from pipeline.explanations.latents import (
    active_units,
    latent_spread,
    prototype_strips,
)
from pipeline.models.conceptizers import IdentityConceptizer, Latent, VaeConceptizer

MEAN, SCALE = torch.tensor([3.0, -2.0, 0.5]), torch.tensor([1.0, 0.5, 2.0])


def test_spread_is_that_of_samples_of_the_aggregate_posterior():
    generator = torch.Generator().manual_seed(0)
    mean = torch.randn(200, 3, generator=generator) * torch.tensor([0.0, 1.0, 3.0])
    logvar = torch.randn(200, 3, generator=generator) - 1
    noise = torch.randn(2_000, 200, 3, generator=generator)
    samples = (mean + torch.exp(0.5 * logvar) * noise).flatten(0, 1)
    torch.testing.assert_close(
        latent_spread(Latent(mean, logvar)), samples.std(0), rtol=0.01, atol=0
    )


def test_active_units_are_those_whose_mean_depends_on_the_input():
    mean = torch.tensor([[0.0, 1.0, 0.5], [0.0, -1.0, 0.6]])  # variances 0, 1, 0.0025
    assert active_units(Latent(mean, torch.zeros(2, 3))) == 1


def strips_of_features(mean, steps, width):
    """Of concepts that are the features of an image: (K, steps, K)."""
    return prototype_strips(IdentityConceptizer((1, 1, 3)), mean, SCALE, steps, width).flatten(2)


def test_one_concept_at_a_time_moves_around_the_mean():
    strips = strips_of_features(MEAN, steps=5, width=2.0)
    assert strips.shape == (3, 5, 3)
    for k in range(3):
        for s, offset in enumerate((-2.0, -1.0, 0.0, 1.0, 2.0)):
            expected = MEAN.clone()
            expected[k] += offset * SCALE[k]
            torch.testing.assert_close(strips[k, s], expected)


def test_strips_are_inputs():
    strips = prototype_strips(IdentityConceptizer((1, 1, 3)), MEAN, SCALE, 3, 1.0)
    assert strips.shape == (3, 3, 1, 1, 3)


def test_the_middle_of_every_strip_is_the_reconstruction_of_the_input():
    torch.manual_seed(0)
    vae = VaeConceptizer((1, 6, 6), 4, (20, 10), "unit", 0.1, 0.3)
    x = torch.randn(1, 1, 6, 6)
    output = vae(x)
    strips = prototype_strips(vae, output.values[0].detach(), torch.ones(4), 7, 2.0)
    expected = output.reconstruction.detach().expand(4, -1, -1, -1)
    torch.testing.assert_close(strips[:, 3], expected)
    assert not torch.allclose(strips[:, 0], expected)


def test_the_strip_follows_the_input_not_zero():
    # The review's code would give the same traversal, up to its width, for all three.
    for shift in (-5.0, 0.0, 5.0):
        strips = strips_of_features(MEAN + shift, steps=7, width=1.0)
        torch.testing.assert_close(strips.mean(1), (MEAN + shift).expand(3, 3))
