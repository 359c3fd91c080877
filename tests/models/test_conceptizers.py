import pytest
import torch
from torch.testing import assert_close

from pipeline.models.conceptizers import ConvConceptizer, IdentityConceptizer, VaeConceptizer
from tests.models.textbook import COLOURS, DIGITS, DIGITS_VAE, random_batch

MEAN, STD = 0.1307, 0.3081


@pytest.mark.parametrize("shape", [(11,), (3, 4, 5)])
def test_identity(shape):
    conceptizer, x = IdentityConceptizer(shape), torch.randn(6, *shape)
    values, reconstruction, latent = conceptizer(x)
    assert torch.equal(values, x.flatten(1))
    assert torch.equal(reconstruction, x)
    assert latent is None
    assert list(conceptizer.parameters()) == []


@pytest.mark.parametrize("architecture", [DIGITS, COLOURS], ids=["digits", "colours"])
def test_conv_reconstructs_between_minus_one_and_one(architecture):
    conceptizer = architecture.senn().conceptizer
    concepts = 1e4 * torch.randn(50, architecture.concepts)
    pixels = conceptizer.decode(concepts)
    assert pixels.shape == (50, *architecture.input_shape)
    assert -1 <= pixels.min() < -0.9 and 0.9 < pixels.max() <= 1


@pytest.mark.parametrize("index", range(DIGITS.concepts))
def test_conv_concept_of_one_channel_each(index):
    # A channel of the last feature map feeds one concept only.
    conceptizer = DIGITS.senn().conceptizer.double()
    x = random_batch(DIGITS)
    before = conceptizer.encode(x)
    last = [p for p in conceptizer.parameters() if p.shape[0] == DIGITS.concepts and p.ndim == 1]
    with torch.no_grad():
        last[0][index] += 1.0  # the bias of that channel's convolution
    changed = (conceptizer.encode(x) != before).any(0)
    assert changed.tolist() == [k == index for k in range(DIGITS.concepts)]


@pytest.mark.parametrize("target", ["review2020", "unit"])
def test_vae_decodes_to_pixels(target):
    conceptizer = VaeConceptizer((1, 8, 8), 3, (16,), target, MEAN, STD)
    decoded = conceptizer.decode(1e4 * torch.randn(40, 3))
    # review2020: the sigmoid itself; unit: the sigmoid is a pixel, normalised as the images are.
    low, high = (0.0, 1.0) if target == "review2020" else (-MEAN / STD, (1 - MEAN) / STD)
    assert decoded.shape == (40, 1, 8, 8)
    assert decoded.min().item() == pytest.approx(low, abs=0.01 * (high - low))
    assert decoded.max().item() == pytest.approx(high, abs=0.01 * (high - low))
    assert decoded.min() >= low - 1e-6 and decoded.max() <= high + 1e-6


def test_vae_samples_from_its_posterior():
    architecture = DIGITS_VAE.with_(target="unit", mean=MEAN, std=STD)
    conceptizer = architecture.senn().conceptizer.double()
    textbook = architecture.textbook().double()
    x = random_batch(architecture)
    noise = conceptizer.draw_noise(len(x), torch.Generator().manual_seed(0))
    mean, logvar = textbook.posterior(x)
    values, reconstruction, latent = conceptizer(x, noise)
    assert_close(tuple(latent), (mean, logvar))
    assert_close(reconstruction, textbook.decode(mean + (logvar / 2).exp() * noise))
    assert torch.equal(values, latent.mean) and torch.equal(conceptizer.encode(x), latent.mean)
    assert_close(conceptizer(x).reconstruction, textbook.decode(mean))


def test_vae_noise_is_standard_normal():
    conceptizer = VaeConceptizer((4,), 3, (5,), "review2020", 0.0, 1.0)
    noise = conceptizer.draw_noise(40_000, torch.Generator().manual_seed(0))
    # 5 standard errors of a mean, a mean square and a mean product of 40,000 normals.
    assert noise.mean(0).abs().max() < 5 / 200
    assert noise.T.cov().sub(torch.eye(3)).abs().max() < 5 * 2**0.5 / 200


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((11,), r"need images \(channels, height, width\), got \(11,\)"),
        ((1, 10, 28), r"\(1, 10, 28\) are too small for 2 convolutions"),
        ((1, 30, 30), r"the decoder makes \(1, 28, 28\) of inputs \(1, 30, 30\)"),
    ],
)
def test_conv_says_what_does_not_fit(shape, message):
    with pytest.raises(ValueError, match=message):
        ConvConceptizer(shape, 5, (10,), 5, (16, 8))
