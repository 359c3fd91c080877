import pytest
import torch
from torch.testing import assert_close

from pipeline.models.senn import Senn, logits, sum_aggregator, target_logit
from tests.metrics.models import random_image_senn, random_table_senn
from tests.models.textbook import (
    ARCHITECTURES,
    DIGITS,
    DIGITS_VAE,
    TABLE_7,
    Architecture,
    random_batch,
)


def networks(architecture: Architecture):
    """Ours and the textbook's, with the same weights, in float64."""
    return architecture.senn(seed=3).double(), architecture.textbook(seed=3).double()


@pytest.fixture(params=ARCHITECTURES.values(), ids=ARCHITECTURES.keys())
def architecture(request) -> Architecture:
    return request.param


def test_shapes(architecture):
    a, x = architecture, random_batch(architecture, 6)
    output = a.senn().double()(x)
    assert output.logits.shape == (6, a.classes)
    assert output.concepts.shape == (6, a.concepts)
    assert output.relevances.shape == (6, a.concepts, a.classes)
    assert output.reconstruction.shape == (6, *a.input_shape)
    if a.conceptizer == "vae":
        assert output.latent.mean.shape == output.latent.logvar.shape == (6, a.concepts)
    else:
        assert output.latent is None


def test_evaluation_equals_the_textbook(architecture):
    senn, textbook = networks(architecture)
    x = random_batch(architecture)
    ours, theirs = senn(x), textbook(x)
    assert_close(ours[:4], theirs[:4])
    if ours.latent is not None:
        assert_close(tuple(ours.latent), theirs[4:])
        assert ours.concepts is ours.latent.mean


def test_training_equals_the_textbook_with_the_same_noise(architecture):
    senn, textbook = networks(architecture)
    x = random_batch(architecture)
    noise = senn.draw_noise(len(x), torch.Generator().manual_seed(1))
    ours = senn(x, noise)
    assert_close(ours[:4], textbook(x, noise.masks, noise.latent)[:4])
    # The noise is what makes the difference, where there is any.
    evaluated = senn(x)
    assert torch.equal(ours.relevances, evaluated.relevances) == (architecture.dropout == 0)
    without_vae = architecture.conceptizer != "vae"
    assert torch.equal(ours.reconstruction, evaluated.reconstruction) == without_vae
    assert torch.equal(ours.concepts, evaluated.concepts)


def test_first_and_second_derivatives_equal_the_textbooks(architecture):
    senn, textbook = networks(architecture)
    x = random_batch(architecture)

    def derivatives(network):
        variable = x.clone().requires_grad_()
        logits = network(variable).logits
        (first,) = torch.autograd.grad(logits.square().sum(), variable, create_graph=True)
        second = torch.autograd.grad(
            first.square().sum(), network.parameters(), allow_unused=True, materialize_grads=True
        )
        return first, second

    (first, second), (first_expected, second_expected) = map(derivatives, (senn, textbook))
    assert_close(first, first_expected)
    for ours, theirs in zip(second, second_expected, strict=True):
        assert_close(ours.reshape(theirs.shape), theirs)


def test_mode_and_global_randomness_do_not_matter():
    senn, x = DIGITS_VAE.senn(), random_batch(DIGITS_VAE).float()
    torch.manual_seed(0)
    first = senn.train()(x)
    torch.manual_seed(1)
    second = senn.eval()(x)
    assert_close(first[:4], second[:4], rtol=0, atol=0)


def test_noise_comes_from_the_generator_alone():
    senn = DIGITS_VAE.senn()

    def draw(seed: int) -> list[torch.Tensor]:
        noise = senn.draw_noise(8, torch.Generator().manual_seed(seed))
        return [*noise.masks, noise.latent]

    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = draw(1)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    assert all(map(torch.equal, first, draw(1)))
    assert not any(map(torch.equal, first, draw(2)))


def test_what_needs_no_noise_draws_none():
    noise = TABLE_7.with_(dropout=0.0).senn().draw_noise(8, torch.Generator())
    assert noise.masks is None and noise.latent is None
    assert DIGITS.senn().draw_noise(8, torch.Generator()).latent is None


def test_other_aggregators_can_be_put_in():
    parts, x = TABLE_7.senn(), random_batch(TABLE_7).float()

    def last_concept(concepts, relevances):
        return concepts[:, -1:] * relevances[:, -1]

    senn = Senn(parts.conceptizer, parts.parameterizer, last_concept)
    output = senn(x)
    assert_close(output.logits, x[:, -1:] * output.relevances[:, -1])


def test_sum_of_contributions():
    concepts = torch.tensor([[1.0, 2.0], [0.0, -1.0]])
    relevances = torch.tensor(
        [[[1.0, 0.0, 3.0], [4.0, 5.0, -6.0]], [[7.0, 7.0, 7.0], [1.0, 2.0, 3.0]]]
    )
    expected = [[1 + 8, 10, 3 - 12], [-1, -2, -3]]
    assert sum_aggregator(concepts, relevances).tolist() == expected
    assert TABLE_7.senn().aggregator is sum_aggregator


@pytest.mark.parametrize(
    ("model", "shape"), [(random_table_senn(), (6,)), (random_image_senn(), (1, 28, 28))]
)
def test_logits_are_the_models(model, shape):
    x = torch.rand(4, *shape)
    torch.testing.assert_close(logits(model, x), model(x).logits)


def test_logits_of_any_module():
    model, x = torch.nn.Linear(6, 3), torch.rand(4, 6)
    assert torch.equal(logits(model, x), model(x))
    assert target_logit(model, x, torch.tensor([2, 0, 1, 1])).tolist() == [
        model(x)[i, c].item() for i, c in enumerate((2, 0, 1, 1))
    ]
