"""The methods on whole networks, against closed forms, captum, and the network written out."""

import pytest
import torch
from captum import attr
from captum.attr._utils import lrp_rules
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from pipeline.explanations.method import Background
from pipeline.explanations.methods import METHODS
from pipeline.explanations.relprop.composites import EPSILON, lrp, lrp_split, relevance_of_logit
from pipeline.explanations.relprop.rules import Epsilon
from pipeline.models.layered import layered
from tests.explanations.relprop.networks import (
    NETWORKS,
    convolutional,
    matrix,
    numbers,
    random_weights,
)
from tests.explanations.relprop.test_rules import explicit
from tests.models.textbook import COLOURS, COLOURS_VAE, DIGITS_VAE, TABLE_7

PROPAGATION = (
    "lrp_0",
    "lrp_epsilon",
    "lrp_epsilon_split",
    "lrp_alpha_beta",
    "deep_taylor",
    "deep_taylor_w2",
    "deconvolution",
)
LOW, HIGH = -1.0, 2.0
TARGET = torch.tensor([2, 0, 1, 1])
CONSERVING = ("deep_taylor", "deep_taylor_w2")


def explain(name, model, x, target=TARGET):
    background = Background(torch.zeros_like(x[0]), torch.tensor(LOW), torch.tensor(HIGH))
    return METHODS[name].build(background)(model, x, target)


def inputs(shape, seed=4):
    return numbers(len(TARGET), *shape, seed=seed).clamp(LOW, HIGH)


def logit(model, x):
    return model(x).gather(1, TARGET.unsqueeze(1)).squeeze(1)


def gradient(model, x):
    x = x.clone().requires_grad_()
    return torch.autograd.grad(logit(model, x).sum(), x)[0]


@pytest.fixture(params=NETWORKS)
def network(request):
    make, shape = NETWORKS[request.param]
    return make, inputs(shape)


def test_lrp_0_of_a_relu_network_is_gradient_times_input(network):
    make, x = network
    assert_close(explain("lrp_0", make(), x), x * gradient(make(), x))


def test_lrp_0_conserves_all_but_what_biases_contribute(network):
    make, x = network
    model = make().requires_grad_()
    biases = [value for name, value in model.named_parameters() if name.endswith("bias")]
    for one in range(len(x)):
        value = model(x[one : one + 1])[0, TARGET[one]]
        of_biases = torch.autograd.grad(value, biases, retain_graph=True)
        kept = sum((b * g).sum() for b, g in zip(biases, of_biases, strict=True))
        relevance = explain("lrp_0", model, x)[one]
        assert_close(relevance.sum() + kept.detach(), value.detach())


def test_lrp_0_conserves_without_biases(network):
    make, x = network
    model = make(bias="zero")
    assert_close(explain("lrp_0", model, x).flatten(1).sum(1), logit(model, x))


@pytest.mark.parametrize("name", CONSERVING)
def test_deep_taylor_conserves_with_negative_biases_and_keeps_the_sign(network, name):
    make, x = network
    model = make(bias="negative")
    relevance, value = explain(name, model, x), logit(model, x)
    assert_close(relevance.flatten(1).sum(1), value)
    assert (relevance * value.sign().view(-1, *[1] * (x.ndim - 1)) >= 0).all()


class FlatBeforeLinear(nn.Sequential):
    """captum has no rule for `nn.Flatten`."""

    def forward(self, x):
        for layer in self:
            x = layer(x.flatten(1) if isinstance(layer, nn.Linear) else x)
        return x


def test_captum_lrp(network):
    make, x = network
    ours = explain("lrp_epsilon", make(), x)
    model = FlatBeforeLinear(*(layer for layer in make() if not isinstance(layer, nn.Flatten)))
    for layer in model:
        if isinstance(layer, nn.Linear | nn.Conv2d):
            layer.rule = lrp_rules.EpsilonRule(EPSILON)
    theirs = attr.LRP(model).attribute(x.clone().requires_grad_(), TARGET)
    assert_close(ours, theirs.detach(), rtol=1e-5, atol=1e-7)


@pytest.mark.filterwarnings("ignore:Setting backward hooks on ReLU")
def test_captum_deconvolution(network):
    make, x = network
    theirs = attr.Deconvolution(make()).attribute(x.clone().requires_grad_(), TARGET)
    assert_close(explain("deconvolution", make(), x), theirs.detach())


def test_deconvolution_network_written_out():
    model, x = convolutional(), inputs((2, 9, 9))
    one, _, _, two, _, _, _, three, _, four = model
    a = F.relu(one(x))
    pooled, switches_one = F.max_pool2d(a, 2, return_indices=True)
    b = two(pooled)
    _, switches_two = F.max_pool2d(b, 2, return_indices=True)
    signal = F.one_hot(TARGET, 3).double() @ four.weight
    signal = (F.relu(signal) @ three.weight).unflatten(1, (6, 1, 1))
    signal = F.max_unpool2d(F.relu(signal), switches_two, 2, output_size=b.shape[-2:])
    signal = F.conv_transpose2d(signal, two.weight)
    signal = F.relu(F.max_unpool2d(signal, switches_one, 2, output_size=a.shape[-2:]))
    expected = F.conv_transpose2d(signal, one.weight, padding=1)
    assert_close(explain("deconvolution", model, x), expected)


def test_lrp_epsilon_step_by_step_with_explicit_matrices():
    """All z_ij of every layer, its biases among what it answers, then winners, then next."""
    model, x = convolutional(), inputs((2, 9, 9))
    values = [x]
    for layer in model:
        values.append(layer(values[-1]))
    relevance = F.one_hot(TARGET, 3) * values[-1]
    for layer, before, after in reversed(list(zip(model, values, values[1:], strict=False))):
        if isinstance(layer, nn.Linear | nn.Conv2d):
            w, _ = matrix(layer, before.shape[1:])
            z = before.flatten(1).unsqueeze(1) * w
            output = after.flatten(1)
            denominator = output + EPSILON * output.sign()
            relevance = explicit(z, denominator, relevance.flatten(1)).view_as(before)
        elif isinstance(layer, nn.MaxPool2d):
            _, switches = F.max_pool2d(before, 2, return_indices=True)
            relevance = F.max_unpool2d(relevance, switches, 2, output_size=before.shape[-2:])
        elif isinstance(layer, nn.Flatten):
            relevance = relevance.view_as(before)
    assert_close(explain("lrp_epsilon", model, x), relevance)


@pytest.mark.parametrize("architecture", [TABLE_7, COLOURS, COLOURS_VAE])
def test_relevances_of_a_senn_are_a_gate_to_lrp_0(architecture):
    """x · Σ_k θ_kc ∇h_k: for a ReLU network of concepts, with θ held."""
    model = architecture.senn(seed=2).double().eval()
    x = inputs(architecture.input_shape)
    held = model(x).relevances.detach()
    pulled_back = gradient(
        lambda x: torch.einsum("bk,bkc->bc", model.conceptizer.encode(x), held), x
    )
    assert_close(explain("lrp_0", model, x), x * pulled_back)


def test_lrp_0_on_identity_concepts_is_the_contribution():
    model, x = TABLE_7.senn(seed=2).double().eval(), inputs((7,))
    theta = model(x).relevances[torch.arange(4), :, TARGET]
    assert_close(explain("lrp_0", model, x), theta * x)
    assert_close(explain("deconvolution", model, x), theta)


def test_split_lrp_0_is_half_of_gradient_times_input():
    """θ (here without tanh) and h are ReLU networks; ∇f is that of both factors."""
    model, x = TABLE_7.senn(seed=2).double().eval(), inputs((7,))
    split = relevance_of_logit(lrp_split(0.0))(model, x, TARGET)
    assert_close(split, x * gradient(layered(model), x) / 2)


def test_split_conserves_without_biases():
    model = random_weights(layered(DIGITS_VAE.senn(seed=2)), bias="zero")
    x = inputs((1, 28, 28))
    split = relevance_of_logit(lrp_split(0.0))(model, x, TARGET)
    assert_close(split.flatten(1).sum(1), logit(model, x))


@pytest.mark.parametrize("name", CONSERVING)
@pytest.mark.parametrize("architecture", [TABLE_7, COLOURS_VAE])
def test_deep_taylor_of_a_senn_conserves_and_keeps_the_sign(architecture, name):
    """Also where concepts or logits are negative: each is decomposed by what made it so."""
    model = random_weights(layered(architecture.senn(seed=2)), bias="zero")
    x = inputs(architecture.input_shape)
    relevance, value = explain(name, model, x), logit(model, x)
    assert (value < 0).any() and (value > 0).any() and (model.concepts(x) < 0).any()
    assert_close(relevance.flatten(1).sum(1), value)
    assert (relevance.flatten(1) * value.sign().unsqueeze(1) >= 0).all()


def test_alpha_beta_of_a_senn_conserves():
    model = random_weights(layered(DIGITS_VAE.senn(seed=2)), bias="zero")
    x = inputs((1, 28, 28))
    assert_close(explain("lrp_alpha_beta", model, x).flatten(1).sum(1), logit(model, x))


@pytest.mark.parametrize("name", PROPAGATION)
@pytest.mark.parametrize("architecture", [TABLE_7, COLOURS])
def test_call_shape(architecture, name):
    model, x = architecture.senn(seed=2).eval(), inputs(architecture.input_shape).float()
    relevance = explain(name, model, x)
    assert relevance.shape == x.shape and relevance.dtype == x.dtype
    assert relevance.isfinite().all() and relevance.flatten(1).any(1).all()
    alone = [explain(name, model, x[i : i + 1], TARGET[i : i + 1]) for i in range(len(x))]
    assert_close(relevance, torch.cat(alone))
    other = explain(name, model, x, (TARGET + 1) % architecture.classes)
    assert not torch.allclose(relevance, other)


def test_methods_differ_from_one_another():
    model, x = COLOURS.senn(seed=2).double().eval(), inputs(COLOURS.input_shape)
    attributions = [explain(name, model, x) for name in PROPAGATION]
    for i, one in enumerate(attributions):
        assert not any(torch.allclose(one, other, rtol=1e-3) for other in attributions[:i])


def test_epsilon_absorbs_what_is_weak():
    model, x = convolutional(), inputs((2, 9, 9))
    strong = relevance_of_logit(lrp(Epsilon(1e6)))(model, x, TARGET)
    assert strong.abs().max() < 1e-6
