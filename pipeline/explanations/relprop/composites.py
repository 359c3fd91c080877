"""The methods of relevance propagation: which rule is for which layer, and what is sent back.

A rule for linear layers is also the rule for SENN's product Σ_k θ_kc h_k, a linear layer of the
concepts whose weights θ depend on the input. So LRP-0 gives a concept its contribution θ_kc h_k.
Where the concepts are the inputs, LRP-0 *is* the contribution, and the parameterizer matters
through θ alone. `lrp_split` sends half the relevance through the parameterizer.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.explanations.method import Method
from pipeline.explanations.relprop.core import Composite, Pairs, propagate
from pipeline.explanations.relprop.linear import LINEAR
from pipeline.explanations.relprop.operations import Add, Dense, MatMul
from pipeline.explanations.relprop.rules import (
    Z_PLUS,
    AlphaBeta,
    Epsilon,
    LinearRule,
    Oriented,
    Relprop,
    SplitProduct,
    Transposed,
    WSquare,
    ZBox,
    pass_on,
    rectify,
    signal_takes_all,
)
from pipeline.models.layered import WeightedSum, layered
from pipeline.models.standard import Complement, Gate

EPSILON = 0.01  # of LRP-ε, in units of a layer's output
ACTIVATIONS: Pairs = [((nn.ReLU, nn.Tanh), pass_on)]
# What leads to a gate gets nothing, whatever its rule.
CELLS: Pairs = [((Gate,), signal_takes_all), ((nn.Sigmoid, Complement), pass_on)]
OPERATIONS: Pairs = [((Add, Dense), Relprop()), ((MatMul,), Relprop(share=0.5))]


def lrp(rule: LinearRule) -> Composite:
    """`rule` at every linear layer (Bach et al. 2015), those of recurrent cells included."""
    return Composite([(LINEAR, rule), *ACTIVATIONS, *CELLS, *OPERATIONS], first=[])


def lrp_split(epsilon: float) -> Composite:
    """LRP-ε that sends half the relevance of a SENN through its parameterizer."""
    rule = Epsilon(epsilon)
    return Composite([((WeightedSum,), SplitProduct(rule)), *lrp(rule).layers], first=[])


def deep_taylor(first: LinearRule) -> Composite:
    """Deep Taylor decomposition (Montavon et al. 2017): z⁺, and `first` at the inputs."""
    rest: Pairs = [(LINEAR, Oriented(Z_PLUS)), *ACTIVATIONS, *OPERATIONS]
    return Composite(rest, first=[(LINEAR, Oriented(first))])


def relevance_of_logit(
    composite: Composite, of_logits: Callable[[Tensor], Tensor] = lambda logits: logits
) -> Method[nn.Module]:
    """Propagate relevance that starts with the target's logit f_c(x), and 0 at other classes.

    Or with what `of_logits` makes of the logits.
    """

    def method(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
        def start(logits: Tensor) -> Tensor:
            return F.one_hot(target, logits.shape[1]) * of_logits(logits)

        return propagate(layered(model), x, start, composite)

    return method


lrp_0 = relevance_of_logit(lrp(Epsilon(0.0)))
lrp_epsilon = relevance_of_logit(lrp(Epsilon(EPSILON)))
lrp_epsilon_split = relevance_of_logit(lrp_split(EPSILON))
lrp_alpha_beta = relevance_of_logit(lrp(Oriented(AlphaBeta())))
deep_taylor_w2 = relevance_of_logit(deep_taylor(WSquare()))


def deep_taylor_box(
    model: nn.Module, x: Tensor, target: Tensor, low: Tensor, high: Tensor
) -> Tensor:
    """`deep_taylor` with z^B at the inputs, whose range is from `low` to `high`."""
    return relevance_of_logit(deep_taylor(ZBox(low, high)))(model, x, target)


deconvolution = relevance_of_logit(
    Composite([(LINEAR, Transposed()), ((nn.ReLU,), rectify), ((nn.Tanh,), pass_on)], first=[]),
    torch.ones_like,
)
"""Deconvolution network (Zeiler and Fergus 2014): back through transposed layers and ReLUs.

The signal starts with 1 at the target: the logit would only scale it.
"""
