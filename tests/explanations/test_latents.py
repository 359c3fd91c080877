import torch

from pipeline.explanations.latents import active_units, latent_spread
from pipeline.models.conceptizers import Latent


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
