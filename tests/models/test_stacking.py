import itertools

import pytest
import torch
from torch.testing import assert_close

from pipeline.models.stacking import stack, unstack
from tests.models.textbook import DIGITS, DIGITS_VAE, TABLE_7, random_batch

CPU = torch.device("cpu")
SHAPE = (2, 3)


@pytest.fixture(params=[TABLE_7, DIGITS, DIGITS_VAE], ids=["table", "conv", "vae"])
def architecture(request):
    return request.param


def models(architecture):
    return [architecture.senn(seed) for seed in range(6)]


def places():
    return enumerate(itertools.product(*map(range, SHAPE)))


def test_outputs_are_those_of_each_model(architecture):
    singles = models(architecture)
    senn = stack(singles, SHAPE, CPU).senn
    x = random_batch(architecture, 5).float()
    own = torch.stack([random_batch(architecture, 5, seed).float() for seed in range(6)])
    for inputs in (x.expand(*SHAPE, *x.shape), own.unflatten(0, SHAPE)):
        noise = singles[0].draw_noise(5, torch.Generator().manual_seed(0))
        masks = noise.masks and tuple(mask.expand(*SHAPE, *mask.shape) for mask in noise.masks)
        latent = None if noise.latent is None else noise.latent.expand(*SHAPE, *noise.latent.shape)
        output = senn(inputs, type(noise)(masks, latent))
        for i, place in places():
            expected = singles[i](inputs[place], noise)
            assert_close([term[place] for term in output[:4]], list(expected[:4]))
            if output.latent is not None:
                assert_close([term[place] for term in output.latent], list(expected.latent))


def test_gradients_are_those_of_each_model(architecture):
    singles = models(architecture)
    stacked = stack(singles, SHAPE, CPU)
    x = random_batch(architecture, 5).float()
    weight = torch.arange(1.0, 7).view(SHAPE)

    def loss(output, leading):
        features = output.reconstruction.flatten(leading).square().sum(-1)
        logits = output.logits.flatten(leading).square().sum(-1)
        latent = 0 if output.latent is None else output.latent.logvar.flatten(leading).sum(-1)
        return features + logits + latent

    stacked.differentiate((weight * loss(stacked.senn(x.expand(*SHAPE, *x.shape)), 2)).sum())
    for i, place in places():
        expected = torch.autograd.grad(
            weight[place] * loss(singles[i](x), 0), list(singles[i].parameters())
        )
        found = unstack(singles[0], stacked.weights.grad[place])
        for name, gradient in zip(dict(singles[i].named_parameters()), expected, strict=True):
            assert_close(found[name], gradient, rtol=1e-4, atol=1e-5)


def test_unstacks_what_was_stacked(architecture):
    singles = models(architecture)
    weights = stack(singles, SHAPE, CPU).weights
    for i, place in places():
        found = unstack(singles[0], weights[place])
        expected = singles[i].state_dict()
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_changing_the_weights_changes_the_models():
    singles = models(TABLE_7)
    stacked = stack(singles, SHAPE, CPU)
    x = random_batch(TABLE_7, 5).float()
    before = stacked.senn(x.expand(*SHAPE, *x.shape)).logits
    stacked.weights[0, 1].zero_()
    after = stacked.senn(x.expand(*SHAPE, *x.shape)).logits
    assert (after[0, 1] == 0).all()
    same = [place for _, place in places() if torch.equal(before[place], after[place])]
    assert len(same) == 5
    # The models they were made of keep their own.
    assert singles[1](x).logits.abs().max() > 0
