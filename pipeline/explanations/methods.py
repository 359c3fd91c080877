"""The table of explanation methods, by name, in the order in which tables show them.

A new method is one file with an `ExplanationMethod`, and a line in `METHODS` beside its family.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from torch import Tensor, nn

from pipeline.core.kinds import Kind
from pipeline.explanations.gradients import gradient_times_input, sensitivity, squared_sensitivity
from pipeline.explanations.library import deep_lift, guided_backprop, integrated_gradients
from pipeline.explanations.method import Background, ExplanationMethod, Family, Method
from pipeline.explanations.perturbation import kernel_shap, lime, occlusion, shapley_sampling
from pipeline.explanations.relprop.composites import (
    deconvolution,
    deep_taylor_box,
    deep_taylor_w2,
    lrp_0,
    lrp_alpha_beta,
    lrp_epsilon,
    lrp_epsilon_split,
)
from pipeline.explanations.senn import contributions, pulled_back, relevances
from pipeline.explanations.taylor import taylor_along_gradient, taylor_towards
from pipeline.models.recurrent import Recurrent
from pipeline.models.senn import Senn


def _method(
    family: Family,
    name: str,
    label: str,
    method: Callable[..., Tensor],
    *takes: str,
    speaks_of: Literal["concepts", "inputs"] = "inputs",
    is_costly: bool = False,
) -> ExplanationMethod:
    """An entry for a `method` that also `takes` these of a `Background`."""

    def build(data: Background) -> Method[Any]:
        return partial(method, **{key: getattr(data, key) for key in takes})

    removes = family == "perturbation"  # all of them, see `patches` and `Background`
    return ExplanationMethod(name, label, family, speaks_of, build, removes, is_costly)


_own = partial(_method, "self-explaining")
_gradient = partial(_method, "gradient")
_propagation = partial(_method, "propagation")
_perturbation = partial(_method, "perturbation")

METHODS: dict[str, ExplanationMethod] = {
    method.name: method
    for method in (
        _own("relevance", "Relevance θ", relevances, speaks_of="concepts"),
        _own("contribution", "Contribution θ·h", contributions, speaks_of="concepts"),
        _own("pull_back", "Pulled-back relevance", pulled_back, "baseline"),
        _gradient("sensitivity", "Sensitivity", sensitivity),
        _gradient("squared_sensitivity", "Squared sensitivity", squared_sensitivity),
        _gradient("gradient_times_input", "Gradient × input", gradient_times_input),
        _gradient(
            "taylor_gradient", "Taylor, along the gradient", taylor_along_gradient, "low", "high"
        ),
        _gradient("taylor_segment", "Taylor, towards the baseline", taylor_towards, "baseline"),
        _gradient("integrated_gradients", "Integrated gradients", integrated_gradients, "baseline"),
        _propagation("lrp_0", "LRP-0", lrp_0),
        _propagation("lrp_epsilon", "LRP-ε", lrp_epsilon),
        _propagation("lrp_epsilon_split", "LRP-ε, through θ too", lrp_epsilon_split),
        _propagation("lrp_alpha_beta", "LRP-αβ", lrp_alpha_beta),
        _propagation("deep_taylor", "Deep Taylor, zᴮ", deep_taylor_box, "low", "high"),
        _propagation("deep_taylor_w2", "Deep Taylor, w²", deep_taylor_w2),
        _propagation("deconvolution", "Deconvolution", deconvolution),
        _propagation("guided_backprop", "Guided backpropagation", guided_backprop),
        _propagation("deep_lift", "DeepLIFT", deep_lift, "baseline"),
        _perturbation("occlusion", "Occlusion", occlusion, "baseline"),
        _perturbation(
            "shapley_sampling", "Shapley sampling", shapley_sampling, "baseline", is_costly=True
        ),
        _perturbation("kernel_shap", "KernelSHAP", kernel_shap, "baseline", is_costly=True),
        _perturbation("lime", "LIME", lime, "baseline", is_costly=True),
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
