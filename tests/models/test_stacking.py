import pytest
import torch
from torch.testing import assert_close

from pipeline.models.stacking import unstack
from tests.models.textbook import DIGITS, DIGITS_VAE, TABLE_7, random_batch, stack

MODELS = 6


@pytest.fixture(params=[TABLE_7, DIGITS, DIGITS_VAE], ids=["table", "conv", "vae"])
def architecture(request):
    return request.param


def models(architecture):
    return [architecture.senn(seed) for seed in range(MODELS)]


def test_outputs_are_those_of_each_model(architecture):
    singles = models(architecture)
    senn = stack(singles).senn
    x = random_batch(architecture, 5).float()
    each = torch.stack([random_batch(architecture, 5, seed).float() for seed in range(MODELS)])
    for inputs in (x.expand(MODELS, *x.shape), each):
        noise = singles[0].draw_noise(5, torch.Generator().manual_seed(0))
        masks = noise.masks and tuple(mask.expand(MODELS, *mask.shape) for mask in noise.masks)
        latent = None if noise.latent is None else noise.latent.expand(MODELS, *noise.latent.shape)
        output = senn(inputs, type(noise)(masks, latent))
        for place, single in enumerate(singles):
            expected = single(inputs[place], noise)
            assert_close([term[place] for term in output[:4]], list(expected[:4]))
            if output.latent is not None:
                assert_close([term[place] for term in output.latent], list(expected.latent))


def test_gradients_are_those_of_each_model(architecture):
    singles = models(architecture)
    stacked = stack(singles)
    x = random_batch(architecture, 5).float()
    weight = torch.arange(1.0, 7)

    def loss(output, leading):
        features = output.reconstruction.flatten(leading).square().sum(-1)
        logits = output.logits.flatten(leading).square().sum(-1)
        latent = 0 if output.latent is None else output.latent.logvar.flatten(leading).sum(-1)
        return features + logits + latent

    stacked.differentiate((weight * loss(stacked.senn(x.expand(MODELS, *x.shape)), 1)).sum())
    for place, single in enumerate(singles):
        expected = torch.autograd.grad(
            weight[place] * loss(single(x), 0), list(single.parameters())
        )
        gradients = unstack(singles[0], stacked.weights.grad[place])
        for name, gradient in zip(dict(single.named_parameters()), expected, strict=True):
            assert_close(gradients[name], gradient, rtol=1e-4, atol=1e-5)


def test_unstacks_what_was_stacked(architecture):
    singles = models(architecture)
    weights = stack(singles).weights
    for place, single in enumerate(singles):
        unstacked = unstack(singles[0], weights[place])
        expected = single.state_dict()
        assert unstacked.keys() == expected.keys()
        assert all(torch.equal(unstacked[name], value) for name, value in expected.items())


def test_changing_the_weights_changes_the_models():
    singles = models(TABLE_7)
    stacked = stack(singles)
    x = random_batch(TABLE_7, 5).float()
    before = stacked.senn(x.expand(MODELS, *x.shape)).logits
    stacked.weights[1].zero_()
    after = stacked.senn(x.expand(MODELS, *x.shape)).logits
    assert (after[1] == 0).all()
    same = [place for place in range(MODELS) if torch.equal(before[place], after[place])]
    assert len(same) == 5
    # The models they were made of keep their own.
    assert singles[1](x).logits.abs().max() > 0
