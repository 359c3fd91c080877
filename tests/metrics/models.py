"""Small self-explaining networks whose metrics are known in closed form, and the experiments'."""

from collections.abc import Callable

import torch
from torch import Tensor

from pipeline.core.params import Params, load_params
from pipeline.models.building import Inputs, build_senn
from pipeline.models.conceptizers import Conceptizer, ConvConceptizer, IdentityConceptizer
from pipeline.models.parameterizers import ConvParameterizer, MlpParameterizer, Parameterizer
from pipeline.models.senn import Aggregator, Senn, sum_aggregator
from tests.conftest import REPOSITORY

PARAMS = load_params(REPOSITORY / "params.yaml")
SHAPES = {"compas_senn": (11,), "mnist_senn": (1, 28, 28), "mnist_disenn": (1, 28, 28)}


class FunctionParameterizer(Parameterizer):
    """θ(x) = `function`(x), (B, K, C)."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__(0, 0, 0.0, [])
        self.function = function

    def forward(self, x: Tensor, masks: None = None) -> Tensor:
        return self.function(x)


class FunctionConceptizer(Conceptizer):
    """h(x) = `function`(x), reconstructed as `back`(h)."""

    def __init__(
        self, function: Callable[[Tensor], Tensor], back: Callable[[Tensor], Tensor] = lambda h: h
    ) -> None:
        super().__init__()
        self.function, self.back = function, back

    def encode(self, x: Tensor) -> Tensor:
        return self.function(x)

    def decode(self, concepts: Tensor) -> Tensor:
        return self.back(concepts)


def senn(
    theta: Callable[[Tensor], Tensor],
    concepts: Callable[[Tensor], Tensor] | Conceptizer = lambda x: x,
    aggregator: Aggregator = sum_aggregator,
) -> Senn:
    """A SENN with relevances `theta`, and `concepts` the features themselves if not given."""
    if not isinstance(concepts, Conceptizer):
        concepts = FunctionConceptizer(concepts)
    return Senn(concepts, FunctionParameterizer(theta), aggregator).eval()


def two_classes(relevances: Tensor) -> Tensor:
    """Relevances (B, K) of class 0, and of class 1 their opposite, (B, K, 2)."""
    return torch.stack([relevances, -relevances], 2)


def random_table_senn(features: int = 6, classes: int = 3, seed: int = 0) -> Senn:
    """An ordinary SENN of tables with random weights."""
    torch.manual_seed(seed)
    parameterizer = MlpParameterizer((features,), features, classes, (16, 16), 0.0)
    return Senn(IdentityConceptizer((features,)), parameterizer).eval()


def random_image_senn(classes: int = 4, seed: int = 0) -> Senn:
    """An ordinary SENN of 28 × 28 images with random weights and 3 learned concepts."""
    torch.manual_seed(seed)
    shape = (1, 28, 28)
    return Senn(
        ConvConceptizer(shape, 3, (4,), 5, (8, 4)),
        ConvParameterizer(shape, 3, classes, (4, 6), 5, (), 0.5),
    ).eval()


def experiment_senn(name: str, params: Params = PARAMS) -> Senn:
    """The model of an experiment of `params`, not trained, in evaluation mode."""
    inputs = Inputs(SHAPES[name], 0.1307, 0.3081)
    return build_senn(name, params.experiments[name], params.vae, inputs, seed=0).eval()
