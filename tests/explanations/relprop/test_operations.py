"""Operations in PyTorch and JAX: printed numbers, the published code, and one another."""

import importlib
import sys

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from pipeline.core.errors import PipelineError
from pipeline.explanations.relprop import jax_port, operations
from pipeline.explanations.relprop.composites import lrp
from pipeline.explanations.relprop.core import propagate
from pipeline.explanations.relprop.operations import (
    Add,
    Clone,
    Dense,
    IndexSelect,
    MatMul,
    safe_divide,
)
from pipeline.explanations.relprop.rules import AlphaBeta, Epsilon
from tests.explanations.relprop.networks import numbers

MODULE = "pipeline.explanations.relprop.jax_port"


def to_jax(value):
    if isinstance(value, torch.Tensor):
        return jnp.asarray(value.numpy())
    return list(map(to_jax, value)) if isinstance(value, list) else value


def to_torch(value):
    if isinstance(value, jax_port.jax.Array):
        return torch.tensor(np.asarray(value))
    return type(value)(map(to_torch, value))


class Torch:
    """``Torch.relprop("Add", relevance, *inputs)``, and the same of `Jax`."""

    @staticmethod
    def call(name, *inputs):
        return getattr(operations, name)()(*inputs)

    @staticmethod
    def relprop(name, *arguments):
        return getattr(operations, name)().relprop(*arguments)

    @staticmethod
    def dense(relevance, x, kernel, alpha=1.0):
        layer = Dense(*kernel.shape).requires_grad_(False)
        layer.weight.copy_(kernel.T)
        return layer.relprop(relevance, x, alpha)


class Jax:
    @staticmethod
    def call(name, *inputs):
        return to_torch(getattr(jax_port, f"Jax{name}")()(*map(to_jax, inputs)))

    @staticmethod
    def relprop(name, *arguments):
        return to_torch(getattr(jax_port, f"Jax{name}")().relprop(*map(to_jax, arguments)))

    @staticmethod
    def dense(relevance, x, kernel, alpha=1.0):
        layer = jax_port.JaxDense(kernel.shape[1])
        variables = {"params": {"kernel": to_jax(kernel), "bias": jnp.ones(kernel.shape[1])}}
        arguments = to_jax(relevance), to_jax(x), alpha
        return to_torch(layer.apply(variables, *arguments, method="relprop"))


both = pytest.mark.parametrize("side", [Torch, Jax])

A, B = torch.ones(2, 2), torch.tensor([[-2.0, 1.0], [1.0, -2.0]])
CORNER = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
FIRST = torch.zeros(1, dtype=torch.int32)


def printed(values, *rows, digits=4):
    assert_close(values, torch.tensor(rows), rtol=0, atol=0.5001 * 10**-digits)


@both
def test_printed_matmul(side):
    printed(side.call("MatMul", A, B), [-1.0, -1.0], [-1.0, -1.0])
    of_a, of_b = side.relprop("MatMul", CORNER, A, B)
    printed(of_a, [2.0, -1.0], [0.0, 0.0])
    printed(of_b, [2.0, 0.0], [-1.0, 0.0])


@both
def test_printed_add(side):
    printed(side.call("Add", A, B), [-1.0, 2.0], [2.0, -1.0])
    of_a, of_b = side.relprop("Add", CORNER, A, B)
    printed(of_a, [0.33333334, 0.0], [0.0, 0.0], digits=7)
    printed(of_b, [0.6666667, 0.0], [0.0, 0.0], digits=7)


@both
def test_printed_index_select(side):
    printed(side.call("IndexSelect", B, 1, FIRST), [-2.0], [1.0])
    relevance = torch.tensor([[1.0], [0.0]])
    printed(side.relprop("IndexSelect", relevance, B, 1, FIRST), [1.0, 0.0], [0.0, 0.0])


@both
def test_printed_clone(side):
    for clone in side.call("Clone", B, 2):
        assert torch.equal(clone, B)
    relevances = [torch.tensor([[0.5, 0.5], [0, 0]]), torch.tensor([[0, 0.25], [0.25, 0.5]])]
    printed(side.relprop("Clone", relevances, B), [0.5, 0.75], [0.25, 0.5])


# The first column of the printed kernel, as far as it was printed: 18 numbers whole, one cut off,
# and one not there, which the relevance printed for it says is not positive.
KERNEL = [
    1.53342038e-01, 4.70121145e-01, 1.80420190e-01, -1.62113383e-01, -1.18919984e-01,
    -4.10243064e-01, 4.96547073e-02, -2.19073966e-01, 1.54693127e-02, -3.89764100e-01,
    -3.79199862e-01, 3.24670374e-01, 1.44210760e-04, -3.36234242e-01, -1.40488684e-01,
    -2.11226270e-02, 9.56470072e-02, -9.69679356e-02, -3.6075e-01,
]  # fmt: skip
RELEVANCE = [
    1.1891876e-01, 3.6458510e-01, 1.3991822e-01, 0, 0, 0, 3.8507875e-02, 0, 1.1996655e-02, 0,
    0, 2.5178614e-01, 1.1183733e-04, 0, 0, 0, 7.4175507e-02, 0, 0, 0,
]  # fmt: skip


@both
@pytest.mark.parametrize("last", [0.0, -0.4])
@pytest.mark.parametrize("second_column", [0.0, 1.0])
def test_printed_dense(side, last, second_column):
    kernel = torch.tensor([[entry, second_column] for entry in [*KERNEL, last]])
    values = side.dense(torch.tensor([[1.0, 0.0]]), torch.ones(1, 20), kernel)
    assert_close(values, torch.tensor([RELEVANCE]), rtol=3e-7, atol=0)


def test_safe_divide_is_the_published_one():
    b = torch.tensor([2.0, -4.0, 0.0, 1e-9, -1e-9, -5e-10, -2e-9], dtype=torch.float64)
    a = torch.ones_like(b)
    expected = torch.tensor(
        [1 / (2 + 1e-9), 1 / (-4 + 1e-9), 0.0, 0.5e9, 1e9, 2e9, -1e9], dtype=torch.float64
    )
    assert_close(safe_divide(a, b), expected)
    with jax_port.jax.enable_x64(True):
        assert_close(to_torch(jax_port.jax_safe_divide(to_jax(a), to_jax(b))), expected)
        assert_close(safe_divide(-a, b), -expected)


def published_lrp(function, relevance, *inputs):
    """RelPropSimple of the notebook, to the letter."""
    inputs = [x.clone().requires_grad_() for x in inputs]
    z = function(*inputs)
    gradients = torch.autograd.grad(z, inputs, safe_divide(relevance, z))
    return tuple((x * c).detach() for x, c in zip(inputs, gradients, strict=True))


def published_add(relevance, one, two):
    """Add of the notebook, to the letter: sums over all there is."""
    a, b = published_lrp(torch.add, relevance, one, two)
    a_sum, b_sum = a.sum(), b.sum()
    magnitude = a_sum.abs() + b_sum.abs()
    a_fact = safe_divide(a_sum.abs(), magnitude) * relevance.sum()
    b_fact = safe_divide(b_sum.abs(), magnitude) * relevance.sum()
    return a * safe_divide(a_fact, a.sum()), b * safe_divide(b_fact, b.sum())


def test_matmul_is_the_published_one():
    a, b, relevance = numbers(2, 3, 4), numbers(4, 5, seed=1), numbers(2, 3, 5, seed=2)
    relevances = MatMul().relprop(relevance, a, b)
    assert_close(relevances, published_lrp(torch.matmul, relevance, a, b))
    # Each operand gets all: together twice what the product had.
    assert_close(relevances[0].sum(), relevance.sum())
    assert_close(relevances[1].sum(), relevance.sum())


def test_add_is_the_published_one_example_by_example():
    a, b, relevance = numbers(3, 4, 2), numbers(3, 4, 2, seed=1), numbers(3, 4, 2, seed=2)
    relevances = Add().relprop(relevance, a, b)
    for i in range(3):
        one = slice(i, i + 1)
        expected = published_add(relevance[one], a[one], b[one])
        assert_close((relevances[0][one], relevances[1][one]), expected)
    assert_close((relevances[0] + relevances[1]).sum((1, 2)), relevance.sum((1, 2)))


def test_index_select_and_clone_are_the_published_ones_but_keep_the_relevance_of_zeros():
    x, indices, relevance = numbers(3, 4), torch.tensor([2, 0, 2]), numbers(3, 3, seed=1)
    (expected,) = published_lrp(lambda x: x.index_select(1, indices), relevance, x)
    assert_close(IndexSelect().relprop(relevance, x, 1, indices), expected)
    one, two = numbers(3, 4, seed=2), numbers(3, 4, seed=3)
    (of_one,), (of_two,) = (published_lrp(lambda x: x * 1, r, x) for r in (one, two))
    assert_close(Clone().relprop([one, two], x), of_one + of_two)
    zero = torch.zeros(3, 4).double()
    assert_close(IndexSelect().relprop(relevance, zero, 1, indices).sum(1), relevance.sum(1))
    assert_close(Clone().relprop([one, two], zero), one + two)


CASES = {
    "MatMul": (numbers(2, 3, 5, seed=2), numbers(2, 3, 4), numbers(2, 4, 5, seed=1)),
    "Add": (numbers(3, 4, seed=2), numbers(3, 4), numbers(3, 4, seed=1)),
    "IndexSelect": (numbers(3, 3, seed=1), numbers(3, 4), 1, torch.tensor([2, 0, 2])),
    "Clone": ([numbers(3, 4, seed=1), numbers(3, 4, seed=2)], numbers(3, 4)),
}


@pytest.mark.parametrize("name", CASES)
def test_jax_is_torch(name):
    arguments = CASES[name]
    with jax_port.jax.enable_x64(True):
        assert_close(Jax.relprop(name, *arguments), Torch.relprop(name, *arguments))


@pytest.mark.parametrize("alpha", [1.0, 2.0])
def test_dense_is_alpha_beta_on_both_sides(alpha):
    x, kernel, relevance = numbers(3, 4), numbers(4, 6, seed=1), numbers(3, 6, seed=2)
    layer = nn.Linear(4, 6).double().requires_grad_(False)
    layer.weight.copy_(kernel.T)
    (expected,) = AlphaBeta(alpha, alpha - 1)(layer, (x,), layer(x), relevance)
    ours = Dense(4, 6).double().requires_grad_(False)
    ours.weight.copy_(kernel.T)
    assert_close(ours.relprop(relevance, x, alpha), expected)
    with jax_port.jax.enable_x64(True):
        assert_close(Jax.dense(relevance, x, kernel, alpha), expected)


@both
def test_add_wants_one_shape(side):
    with pytest.raises(PipelineError, match=r"one shape, got \(2, 2\) and \(2,\)"):
        side.call("Add", A, torch.ones(2))


class Attention(nn.Module):
    """One head with what skips it: x + softmax-free attention (x xᵀ) x of the first two tokens."""

    def __init__(self):
        super().__init__()
        self.product, self.mixed, self.add = MatMul(), MatMul(), Add()
        self.clone, self.select, self.out = Clone(), IndexSelect(), Dense(4, 3)

    def forward(self, x):
        x = self.select(x, 1, torch.tensor([0, 1]))
        skipping, through = self.clone(x, 2)
        mixed = self.mixed(self.product(through, through.transpose(1, 2)), through)
        return self.out(self.add(skipping, mixed))


def test_a_network_of_operations_conserves():
    torch.manual_seed(0)
    model, x = Attention().double(), numbers(2, 3, 4).abs()
    model.out.weight.data.abs_()
    relevance = propagate(model, x, lambda output: output, lrp(Epsilon()))
    assert_close(relevance.sum((1, 2)), model(x).sum((1, 2)), rtol=1e-6, atol=0)
    assert torch.equal(relevance[:, 2], torch.zeros(2, 4).double())


def test_without_jax_it_says_what_to_install(monkeypatch):
    monkeypatch.delitem(sys.modules, MODULE)
    monkeypatch.setitem(sys.modules, "flax.linen", None)
    with pytest.raises(PipelineError, match=r"pip install -r requirements-jax\.txt"):
        importlib.import_module(MODULE)
