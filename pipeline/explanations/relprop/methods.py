"""The methods of relevance propagation, of the call shape of all methods."""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.explanations.method import Background, ExplanationMethod, Method
from pipeline.explanations.relprop.composites import deconvolution, deep_taylor, lrp, lrp_split
from pipeline.explanations.relprop.core import Composite, propagate
from pipeline.explanations.relprop.rules import AlphaBeta, Epsilon, Oriented, WSquare, ZBox
from pipeline.models.layered import layered

EPSILON = 0.01  # of LRP-ε, in units of what layers answer


def relevance_of_logit(composite: Composite) -> Method[nn.Module]:
    """Relevance that starts with the logit f_c(x) of the target c, and none of other classes."""

    def method(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
        def start(logits: Tensor) -> Tensor:
            return F.one_hot(target, logits.shape[1]) * logits

        return propagate(layered(model), x, start, composite)

    return method


def signal_of_class(composite: Composite) -> Method[nn.Module]:
    """A signal that starts with 1 at the target's logit: only its scale depends on that."""

    def method(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
        def start(logits: Tensor) -> Tensor:
            return F.one_hot(target, logits.shape[1]).to(logits.dtype)

        return propagate(layered(model), x, start, composite)

    return method


def _entry(
    name: str, label: str, build: Callable[[Background], Method[nn.Module]]
) -> ExplanationMethod:
    return ExplanationMethod(name, label, "propagation", "inputs", build)


PROPAGATION_METHODS = (
    _entry("lrp_0", "LRP-0", lambda _: relevance_of_logit(lrp(Epsilon(0.0)))),
    _entry("lrp_epsilon", "LRP-ε", lambda _: relevance_of_logit(lrp(Epsilon(EPSILON)))),
    _entry(
        "lrp_epsilon_split",
        "LRP-ε, through θ too",
        lambda _: relevance_of_logit(lrp_split(EPSILON)),
    ),
    _entry("lrp_alpha_beta", "LRP-αβ", lambda _: relevance_of_logit(lrp(Oriented(AlphaBeta())))),
    _entry(
        "deep_taylor",
        "Deep Taylor, zᴮ",
        lambda data: relevance_of_logit(deep_taylor(ZBox(data.low, data.high))),
    ),
    _entry(
        "deep_taylor_w2",
        "Deep Taylor, w²",
        lambda _: relevance_of_logit(deep_taylor(WSquare())),
    ),
    _entry("deconvolution", "Deconvolution", lambda _: signal_of_class(deconvolution())),
)
