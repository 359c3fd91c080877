"""The table of explanation methods: all there are, by name, in the order in which tables show them.

A new method is one file with an `ExplanationMethod`, and its line in `METHODS`. A family's methods
stand together.
"""

from torch import nn

from pipeline.explanations.gradients import GRADIENT_METHODS
from pipeline.explanations.library import LIBRARY_METHODS
from pipeline.explanations.method import ExplanationMethod
from pipeline.explanations.relprop.methods import PROPAGATION_METHODS
from pipeline.explanations.senn import SENN_METHODS
from pipeline.explanations.taylor import TAYLOR_METHODS
from pipeline.models.senn import Senn

_FAMILIES = ("self-explaining", "gradient", "propagation", "perturbation")

METHODS: dict[str, ExplanationMethod] = {
    method.name: method
    for family in _FAMILIES
    for method in (
        *SENN_METHODS,
        *GRADIENT_METHODS,
        *TAYLOR_METHODS,
        *PROPAGATION_METHODS,
        *LIBRARY_METHODS,
    )
    if method.family == family
}


def methods_for(model: nn.Module) -> dict[str, ExplanationMethod]:
    """The methods that apply to `model`: those of a `Senn`'s own explanations only to one.

    Some coincide: of concepts that are the features, the pulled-back relevances are the
    contributions where the baseline is 0.
    """
    if isinstance(model, Senn):
        return METHODS
    return {name: method for name, method in METHODS.items() if method.family != "self-explaining"}
