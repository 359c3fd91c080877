"""The table of explanation methods, by name, in the order in which tables show them.

A new method is one file with an `ExplanationMethod`, and a line in `METHODS` beside its family.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

from torch import nn

from pipeline.core.kinds import Kind
from pipeline.explanations.gradients import gradient_times_input, sensitivity, squared_sensitivity
from pipeline.explanations.library import deep_lift, guided_backprop, integrated_gradients
from pipeline.explanations.method import Background, ExplanationMethod, Family, Method
from pipeline.explanations.perturbation import kernel_shap, lime, occlusion, shapley_sampling
from pipeline.explanations.relprop.composites import (
    EPSILON,
    deconvolution,
    deep_taylor,
    lrp,
    lrp_split,
    relevance_of_logit,
    signal_of_class,
)
from pipeline.explanations.relprop.rules import AlphaBeta, Epsilon, Oriented, WSquare, ZBox
from pipeline.explanations.senn import contributions, pulled_back, relevances
from pipeline.explanations.taylor import taylor_along_gradient, taylor_towards
from pipeline.models.recurrent import Recurrent
from pipeline.models.senn import Senn

Build: TypeAlias = Callable[[Background], Method[Any]]


def _plain(method: Method[Any]) -> Build:
    return lambda _: method


def _from_baseline(method: Callable[..., Any]) -> Build:
    return lambda data: partial(method, baseline=data.baseline)


def _in_range(method: Callable[..., Any]) -> Build:
    return lambda data: partial(method, low=data.low, high=data.high)


def _deep_taylor_box(data: Background) -> Method[nn.Module]:
    return relevance_of_logit(deep_taylor(ZBox(data.low, data.high)))


def _concepts(name: str, label: str, method: Method[Any]) -> ExplanationMethod:
    return ExplanationMethod(name, label, "self-explaining", "concepts", _plain(method))


def _inputs(
    family: Family, name: str, label: str, build: Build, costly: bool = False
) -> ExplanationMethod:
    removes = family == "perturbation"  # all of them, see `patches` and `Background`
    return ExplanationMethod(name, label, family, "inputs", build, removes, costly)


_gradient, _propagation, _perturbation = (
    partial(_inputs, "gradient"),
    partial(_inputs, "propagation"),
    partial(_inputs, "perturbation"),
)
_lrp_alpha_beta = relevance_of_logit(lrp(Oriented(AlphaBeta())))

METHODS: dict[str, ExplanationMethod] = {
    method.name: method
    for method in (
        _concepts("relevance", "Relevance θ", relevances),
        _concepts("contribution", "Contribution θ·h", contributions),
        _inputs(
            "self-explaining", "pull_back", "Pulled-back relevance", _from_baseline(pulled_back)
        ),
        _gradient("sensitivity", "Sensitivity", _plain(sensitivity)),
        _gradient("squared_sensitivity", "Squared sensitivity", _plain(squared_sensitivity)),
        _gradient("gradient_times_input", "Gradient × input", _plain(gradient_times_input)),
        _gradient(
            "taylor_gradient", "Taylor, along the gradient", _in_range(taylor_along_gradient)
        ),
        _gradient("taylor_segment", "Taylor, towards the baseline", _from_baseline(taylor_towards)),
        _gradient(
            "integrated_gradients", "Integrated gradients", _from_baseline(integrated_gradients)
        ),
        _propagation("lrp_0", "LRP-0", _plain(relevance_of_logit(lrp(Epsilon(0.0))))),
        _propagation("lrp_epsilon", "LRP-ε", _plain(relevance_of_logit(lrp(Epsilon(EPSILON))))),
        _propagation(
            "lrp_epsilon_split",
            "LRP-ε, through θ too",
            _plain(relevance_of_logit(lrp_split(EPSILON))),
        ),
        _propagation("lrp_alpha_beta", "LRP-αβ", _plain(_lrp_alpha_beta)),
        _propagation("deep_taylor", "Deep Taylor, zᴮ", _deep_taylor_box),
        _propagation(
            "deep_taylor_w2", "Deep Taylor, w²", _plain(relevance_of_logit(deep_taylor(WSquare())))
        ),
        _propagation("deconvolution", "Deconvolution", _plain(signal_of_class(deconvolution()))),
        _propagation("guided_backprop", "Guided backpropagation", _plain(guided_backprop)),
        _propagation("deep_lift", "DeepLIFT", _from_baseline(deep_lift)),
        _perturbation("occlusion", "Occlusion", _from_baseline(occlusion)),
        _perturbation(
            "shapley_sampling", "Shapley sampling", _from_baseline(shapley_sampling), costly=True
        ),
        _perturbation("kernel_shap", "KernelSHAP", _from_baseline(kernel_shap), costly=True),
        _perturbation("lime", "LIME", _from_baseline(lime), costly=True),
    )
}

FEED_FORWARD = ("deep_taylor", "deep_taylor_w2", "deconvolution", "guided_backprop", "deep_lift")
"""Those defined by what ReLU units do, which recurrent layers have none of."""

_NOT_OF_WORDS = (
    "relevance",
    "pull_back",
    "sensitivity",
    "taylor_segment",
    "lrp_epsilon_split",
    *FEED_FORWARD,
)


def methods_on(kind: Kind) -> dict[str, ExplanationMethod]:
    """The methods that are scored on data of a kind: of texts, each that says its own of words.

    Recurrent layers read texts. There h = 1 of every word: relevances are the contributions, LRP-ε
    passes all through θ, and pulled-back relevances are 0. A sensitivity, summed over a word's
    embedding, depends on the axes of the embeddings. On the way to no words at all there rarely is
    a root before the end, where the gradient is 0.
    """
    left_out = _NOT_OF_WORDS if kind == "texts" else ()
    return {name: method for name, method in METHODS.items() if name not in left_out}


def methods_for(model: nn.Module) -> dict[str, ExplanationMethod]:
    """The methods that apply to `model`; SENN's own explanations apply to a `Senn` alone.

    Some coincide: where the concepts are the features and the baseline is 0, the pulled-back
    relevances are the contributions. `FEED_FORWARD` do not apply where there are recurrent layers.
    """
    is_recurrent = any(isinstance(module, Recurrent) for module in model.modules())
    return {
        name: method
        for name, method in METHODS.items()
        if not (method.family == "self-explaining" and not isinstance(model, Senn))
        and not (name in FEED_FORWARD and is_recurrent)
    }
