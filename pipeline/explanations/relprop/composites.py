"""Which rule is for which layer: the methods of relevance propagation, as lists of pairs.

A rule for linear layers is also the rule of SENN's product Σ_k θ_kc h_k, a linear layer of the
concepts whose weights θ the input has chosen. So LRP-0 gives a concept its contribution θ_kc h_k,
and where concepts are the inputs themselves, LRP-0 *is* the contribution, and the parameterizer
has no say but in θ. `lrp_split` lets half the relevance go through it, too.
"""

from torch import nn

from pipeline.explanations.relprop.core import Composite, Pairs
from pipeline.explanations.relprop.linear import LINEAR
from pipeline.explanations.relprop.operations import Add, Dense, MatMul
from pipeline.explanations.relprop.rules import (
    Epsilon,
    LinearRule,
    Oriented,
    Own,
    Pass,
    Rectify,
    Split,
    Transposed,
    ZPlus,
)
from pipeline.models.layered import WeightedSum

ACTIVATIONS: Pairs = [((nn.ReLU, nn.Tanh), Pass())]
OPERATIONS: Pairs = [((Add, Dense), Own()), ((MatMul,), Own(share=0.5))]


def lrp(rule: LinearRule) -> Composite:
    """`rule` at every linear layer (Bach et al. 2015)."""
    return Composite([(LINEAR, rule), *ACTIVATIONS, *OPERATIONS], first=[])


def lrp_split(epsilon: float) -> Composite:
    """LRP-ε, with half the relevance of a SENN going through its parameterizer."""
    rule = Epsilon(epsilon)
    return Composite([((WeightedSum,), Split(rule)), *lrp(rule).layers], first=[])


def deep_taylor(first: LinearRule) -> Composite:
    """Deep Taylor decomposition (Montavon et al. 2017): z⁺, and `first` at the inputs."""
    rest: Pairs = [(LINEAR, Oriented(ZPlus())), *ACTIVATIONS, *OPERATIONS]
    return Composite(rest, first=[(LINEAR, Oriented(first))])


def deconvolution() -> Composite:
    """Deconvolution network (Zeiler and Fergus 2014): back through transposed layers and ReLUs."""
    return Composite(
        [(LINEAR, Transposed()), ((nn.ReLU,), Rectify()), ((nn.Tanh,), Pass())], first=[]
    )
