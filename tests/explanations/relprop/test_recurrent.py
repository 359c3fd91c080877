"""Relevance through recurrent cells: closed forms, the rules written out, and captum."""

import pytest
import torch
from captum.attr import InputXGradient
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from pipeline.core.errors import PipelineError
from pipeline.explanations.relprop.composites import deep_taylor, lrp, relevance_of_logit
from pipeline.explanations.relprop.rules import Epsilon, WSquare
from pipeline.models.layered import layered
from pipeline.models.recurrent import Gru, Lstm
from pipeline.models.senn import Senn
from pipeline.models.standard import Unrolled
from pipeline.models.words import RecurrentParameterizer, WordsConceptizer
from tests.explanations.relprop.networks import numbers, random_weights

EPSILON = 0.01
WORDS, SIZE, HIDDEN, CLASSES = 5, 4, 3, 3
TARGET = torch.tensor([2, 0, 1, 1])


@pytest.fixture(params=[Lstm, Gru])
def cell(request):
    return request.param


def inputs():
    return numbers(len(TARGET), WORDS, SIZE, seed=4)


def drawn(module, seed, bias):
    """`module` with random weights; no biases if `bias` is ``zero``."""
    module = random_weights(module, seed)
    for name, parameter in module.named_parameters():
        if bias == "zero" and "bias" in name:
            parameter.zero_()
    return module


def recurrent(cell, bidirectional, bias="any"):
    return drawn(cell(SIZE, HIDDEN, bidirectional), 1, bias)


def network(cell, bidirectional, bias="any"):
    """Documents (B, WORDS, SIZE) to logits, all states together."""
    layer = recurrent(cell, bidirectional, bias)
    last = random_weights(nn.Linear(WORDS * HIDDEN * (1 + bidirectional), CLASSES), 2, bias)
    return nn.Sequential(Unrolled(layer), nn.Flatten(), last)


def relevance(model, x, epsilon=0.0):
    return relevance_of_logit(lrp(Epsilon(epsilon)))(model, x, TARGET)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_unrolled_is_the_layer(cell, bidirectional):
    """Also where there is no input, before the words, between and after them."""
    layer, x = recurrent(cell, bidirectional), inputs()
    unrolled = Unrolled(layer)
    assert_close(unrolled(x), layer(x))
    x[:, 2] = 0
    padded = F.pad(x, (0, 0, 2, 1))
    assert_close(unrolled(padded), layer(padded))
    layer.weight_hh[0, 0, 0] += 1
    assert_close(unrolled(padded), layer(padded))


@pytest.mark.parametrize("bidirectional", [False, True])
def test_what_is_no_input_gets_no_relevance(cell, bidirectional):
    x = inputs()
    padded = F.pad(x, (0, 0, 2, 1))
    last = random_weights(nn.Linear(HIDDEN * (1 + bidirectional), CLASSES), 2)
    # The states of padding count, too: the first words' backwards, the last ones' forwards.
    model = nn.Sequential(Unrolled(recurrent(cell, bidirectional)), Mean(), last)
    result = relevance(model, padded)
    assert torch.equal(result[:, :2], torch.zeros(len(x), 2, SIZE).double())
    assert torch.equal(result[:, -1], torch.zeros(len(x), SIZE).double())


class Mean(nn.Module):
    """Of all states, as pooling: the only way that knows a rule."""

    def __init__(self):
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d((1, None))

    def forward(self, x):
        return self.pool(x.unsqueeze(1)).flatten(1)


def frozen_step(cell, weights, x, state):
    """A step that is linear in x and in the state: gates held, tanh(a) as a · held(tanh(a) / a).

    Of this network LRP-0 is the gradient times the input.
    """
    w, u, b, c = weights
    h = state[0]

    def tanh(a):
        return a * (a.tanh() / a).detach()

    if cell is Lstm:
        i, f, g, o = (x @ w.T + h @ u.T + b + c).chunk(4, 1)
        i, f, o = (gate.sigmoid().detach() for gate in (i, f, o))
        memory = f * state[1] + i * tanh(g)
        return o * tanh(memory), memory
    of_x, of_h = (x @ w.T + b).chunk(3, 1), (h @ u.T + c).chunk(3, 1)
    r, z = ((of_x[k] + of_h[k]).sigmoid().detach() for k in (0, 1))
    return ((1 - z) * tanh(of_x[2] + r * of_h[2]) + z * h,)


def frozen_states(cell, layer, x):
    """The states of `layer` (B, WORDS, ·), by `frozen_step`."""
    states = []
    for place, *weights in zip(range(2), *layer.parameters(), strict=False):
        order = range(WORDS)[::-1] if place else range(WORDS)
        state = [x.new_zeros(len(x), HIDDEN)] * 2
        of_direction = {}
        for t in order:
            state = frozen_step(cell, weights, x[:, t], state)
            of_direction[t] = state[0]
        states.append(torch.stack([of_direction[t] for t in range(WORDS)], 1))
    return torch.cat(states, 2)


class Frozen(nn.Module):
    """`network` written out, with `frozen_step`."""

    def __init__(self, cell, bidirectional, bias):
        super().__init__()
        self.cell = cell
        self.layer = recurrent(cell, bidirectional, bias)
        self.last = network(cell, bidirectional, bias)[-1]

    def forward(self, x):
        return self.last(frozen_states(self.cell, self.layer, x).flatten(1))


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("bias", ["any", "zero"])
def test_lrp_0_is_gradient_times_input_of_the_network_with_gates_held(cell, bidirectional, bias):
    model, frozen, x = (
        network(cell, bidirectional, bias),
        Frozen(cell, bidirectional, bias),
        inputs(),
    )
    assert_close(frozen(x), model(x))
    point = x.clone().requires_grad_()
    logit = frozen(point).gather(1, TARGET.unsqueeze(1)).sum()
    expected = x * torch.autograd.grad(logit, point)[0]
    assert_close(relevance(model, x), expected)
    captum = InputXGradient(frozen).attribute(x.clone().requires_grad_(), TARGET)
    assert_close(relevance(model, x), captum.detach())


@pytest.mark.parametrize("bidirectional", [False, True])
def test_conservation_without_biases(cell, bidirectional):
    model, x = network(cell, bidirectional, bias="zero"), inputs()
    logit = model(x).gather(1, TARGET.unsqueeze(1)).squeeze(1)
    of_words = relevance(model, x).sum(2)
    assert_close(of_words.sum(1), logit, rtol=1e-6, atol=1e-6)
    assert (of_words != 0).all()


def words_senn(cell, bias="any"):
    name = {Lstm: "lstm", Gru: "gru"}[cell]
    shape = (WORDS, SIZE)
    parameterizer = RecurrentParameterizer(shape, WORDS, CLASSES, 0.0, name, HIDDEN, True)
    return drawn(Senn(WordsConceptizer(shape, WORDS), parameterizer), 3, bias)


def documents():
    """The last words of the second are none."""
    x = inputs()
    x[1, 3:] = 0
    return x


def test_a_senn_of_words_in_layers(cell):
    model, x = words_senn(cell), documents()
    network, output = layered(model), model(x)
    assert_close(network(x), output.logits)
    assert_close(network.concepts(x), output.concepts)
    assert_close(network.relevances(x), output.relevances)


def test_a_senn_of_words_conserves_through_its_relevances(cell):
    """f_c = Σ_w θ_wc: presence is the gate, and every θ speaks of all words that it depends on."""
    model, x = words_senn(cell, bias="zero"), documents()
    of_words = relevance(model, x).sum(2)
    output = model(x)
    logit = output.logits.gather(1, TARGET.unsqueeze(1)).squeeze(1)
    assert_close(of_words.sum(1), logit, rtol=1e-6, atol=1e-6)
    assert torch.equal(of_words != 0, output.concepts.bool())
    theta = output.relevances[torch.arange(len(x)), :, TARGET]
    assert (of_words - theta).abs().max() > 0.01  # it is not the contribution


def test_lrp_0_of_a_senn_of_words_is_gradient_times_input_with_gates_held(cell):
    model, x = words_senn(cell), inputs()
    recurrent, last = model.parameterizer.recurrent, model.parameterizer.linear
    point = x.clone().requires_grad_()
    theta = last(frozen_states(cell, recurrent, point).flatten(0, 1)).unflatten(0, (len(x), WORDS))
    logit = theta.sum(1).gather(1, TARGET.unsqueeze(1)).sum()
    assert_close(relevance(model, x), x * torch.autograd.grad(logit, point)[0])


def linear_rule(z, output, relevance):
    """R_i = Σ_j z_ij / (z_j + ε sign z_j) R_j, of z (inputs, outputs) of one example."""
    return (z / (output + EPSILON * output.sign()) * relevance).sum(1)


def test_lrp_epsilon_of_an_lstm_written_out():
    """Equations of Arras et al. 2017b, one example and one step at a time, backwards in time."""
    model, x = network(Lstm, bidirectional=False), inputs()
    w, u, b, c = (weights[0] for weights in recurrent(Lstm, bidirectional=False).parameters())
    for example, one in enumerate(x):
        h, memory, steps = torch.zeros(HIDDEN).double(), torch.zeros(HIDDEN).double(), []
        for word in one:
            a = w @ word + u @ h + b + c
            i, f, g, o = a.chunk(4)
            new = f.sigmoid() * memory + i.sigmoid() * g.tanh()
            steps.append((word, h, memory, g, f.sigmoid() * memory, i.sigmoid() * g.tanh(), new))
            h, memory = o.sigmoid() * new.tanh(), new
        last = model[-1]
        hidden = model[0](x)[example].flatten()
        logits = last(hidden)
        label = TARGET[example]
        z = (hidden * last.weight[label]).unsqueeze(1)
        of_states = linear_rule(z, logits[label], logits[label]).view(WORDS, HIDDEN)
        expected = torch.zeros(WORDS, SIZE).double()
        of_h, of_memory = torch.zeros(HIDDEN).double(), torch.zeros(HIDDEN).double()
        rows = slice(2 * HIDDEN, 3 * HIDDEN)
        for t in reversed(range(WORDS)):
            word, h, _, g, kept, added, new = steps[t]
            of_new = of_memory + of_h + of_states[t]  # o and tanh pass it on
            share = of_new / (new + EPSILON * new.sign())
            of_memory, of_g = kept * share, added * share  # f and i pass it on
            z = torch.cat([word, h]).unsqueeze(1) * torch.cat([w, u], 1)[rows].T
            both = linear_rule(z, g, of_g)
            expected[t], of_h = both[:SIZE], both[SIZE:]
        assert_close(relevance(model, x, EPSILON)[example], expected)


def test_an_example_does_not_depend_on_its_batch(cell):
    model, x = network(cell, bidirectional=True), inputs()
    alone = [
        relevance_of_logit(lrp(Epsilon(EPSILON)))(model, x[i : i + 1], TARGET[i : i + 1])
        for i in range(len(x))
    ]
    assert_close(relevance(model, x, EPSILON), torch.cat(alone))


def test_rules_without_a_meaning_in_a_cell(cell):
    method = relevance_of_logit(deep_taylor(WSquare()))
    with pytest.raises(PipelineError, match="through a layer of type"):
        method(network(cell, bidirectional=False), inputs(), TARGET)
