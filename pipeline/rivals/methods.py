"""SENN and the methods that the paper compares it with, each as the paper's protocol needs it.

An explanation is a *slope* or a *worth*. Relevances θ and gradients are slopes: what a feature
would add per unit. Contributions θ·h, and what occlusion, SHAP and LIME say of a feature's
presence, are worths: what the feature adds. Of a linear model slopes never change and worths always
do, so a comparison of θ with worths favours θ whatever the models are.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.explanations.gradients import gradient_times_input, logit_and_gradient, sensitivity
from pipeline.explanations.method import Method
from pipeline.explanations.relprop.composites import lrp_epsilon
from pipeline.explanations.senn import contributions, relevances
from pipeline.rivals.perturbation import Draw, explained_by, lime_draw, occlusion_draw, shap_draw

SENN, CONTRIBUTION = "relevance", "contribution"
_DRAWS = 251  # sets of samples; prime, so that no input and no place in a batch keeps its own
_POINTS = 10  # of the quadrature in integrated gradients

Build = Callable[[Tensor, int], Method[Any]]
Random = Callable[[torch.Generator, int, int, int], Draw]


@dataclass(frozen=True)
class Rival:
    """A method of the comparison.

    Attributes
    ----------
    name : str
        As in `pipeline.explanations.methods`.
    label : str
        Its name for people.
    says : str
        Whether attributions are slopes or worths.
    build : callable or None
        Makes the method of a baseline (*input_shape) and a number of groups.
    draw : callable or None
        Of a method with random samples: draws them, see `perturbation`.
    differentiable : bool
        Whether its attributions can be differentiated in x.
    by_removal : bool
        Whether it removes the very groups that faithfulness removes, with the same baseline.
    on_tables, on_images : bool
        Whether the paper compares it there: on images all but SHAP.
    """

    name: str
    label: str
    says: Literal["slope", "worth"]
    build: Build | None = None
    draw: Random | None = None
    differentiable: bool = False
    by_removal: bool = False
    on_tables: bool = False
    on_images: bool = True

    @property
    def of_concepts(self) -> bool:
        """Whether it speaks of concepts; the others speak of inputs."""
        return self.name in (SENN, CONTRIBUTION)

    def method(self, baseline: Tensor, groups: int, samples: int) -> Method[Any]:
        """The method, a random one with samples drawn once for all inputs."""
        if self.draw is None:
            assert self.build is not None
            return self.build(baseline, groups)
        generator = torch.Generator().manual_seed(0)
        return explained_by(self.draw(generator, 1, samples, groups), baseline)

    def redrawn(self, baseline: Tensor, groups: int, samples: int) -> Method[Any]:
        """The method as libraries run it, with other samples for every input explained.

        Inputs take turns with `_DRAWS` sets of samples: as noisy as new ones, and quicker.
        """
        assert self.draw is not None
        generator = torch.Generator().manual_seed(1)
        draws, done = self.draw(generator, _DRAWS, samples, groups), 0

        def method(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
            nonlocal done
            turn = torch.arange(done, done + len(x)) % _DRAWS
            done += len(x)
            taken = Draw(draws.present[turn], draws.worth[turn])
            return explained_by(taken, baseline)(model, x, target)

        return method


def integrated_gradients(model: nn.Module, x: Tensor, target: Tensor, baseline: Tensor) -> Tensor:
    """(x_i - b_i) ∫₀¹ ∂_i f_c(b + t (x - b)) dt by Gauss-Legendre quadrature, differentiable in x.

    `explanations.library` has captum's, which is not.
    """
    nodes, weights = np.polynomial.legendre.leggauss(_POINTS)
    mean = torch.zeros_like(x)
    for node, weight in zip(nodes, weights, strict=True):
        point = baseline + (1 + node) / 2 * (x - baseline)
        mean = mean + weight / 2 * logit_and_gradient(model, point, target)[1]
    return (x - baseline) * mean


def _plain(method: Method[Any]) -> Build:
    return lambda baseline, groups: method


def _integrated(baseline: Tensor, groups: int) -> Method[nn.Module]:
    return partial(integrated_gradients, baseline=baseline)


def _occlusion(baseline: Tensor, groups: int) -> Method[nn.Module]:
    return explained_by(occlusion_draw(groups), baseline)


_smooth = partial(Rival, differentiable=True)
_removing = partial(Rival, says="worth", by_removal=True)

RIVALS: dict[str, Rival] = {
    rival.name: rival
    for rival in (
        _smooth(SENN, "SENN, θ", "slope", _plain(relevances), on_tables=True),
        _smooth(CONTRIBUTION, "SENN, θ·h", "worth", _plain(contributions), on_tables=True),
        _smooth("sensitivity", "Saliency", "slope", _plain(sensitivity)),
        _smooth("gradient_times_input", "Gradient × input", "worth", _plain(gradient_times_input)),
        _smooth("integrated_gradients", "Integrated gradients", "worth", _integrated),
        Rival("lrp_epsilon", "LRP-ε", "worth", _plain(lrp_epsilon)),
        _removing("occlusion", "Occlusion", build=_occlusion),
        _removing("lime", "LIME", draw=lime_draw, on_tables=True),
        _removing("kernel_shap", "SHAP", draw=shap_draw, on_tables=True, on_images=False),
    )
}


def rivals_for(has_images: bool) -> dict[str, Rival]:
    """Those that the paper compares on images, or on tables, and SENN's contributions."""
    return {
        name: rival
        for name, rival in RIVALS.items()
        if (rival.on_images if has_images else rival.on_tables)
    }
