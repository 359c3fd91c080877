"""A SENN as a module of standard layers, for methods that go through a network layer by layer.

The models here compute with layers of their own (`pipeline.models.layers`), which libraries of
explanations and rules of relevance propagation do not know. `layered` says the same function in
``torch.nn``'s words, with the same weights.
"""

from collections.abc import Iterable
from typing import TypeVar

from torch import Tensor, nn

from pipeline.errors import PipelineError
from pipeline.models.aggregators import sum_aggregator
from pipeline.models.conceptizers import (
    Conceptizer,
    ConvConceptizer,
    IdentityConceptizer,
    VaeConceptizer,
)
from pipeline.models.layers import PerChannelLinear
from pipeline.models.parameterizers import ConvParameterizer, MlpParameterizer, Parameterizer
from pipeline.models.senn import Senn

LayerT = TypeVar("LayerT", nn.Linear, nn.Conv2d)


class WeightedSum(nn.Module):
    """Logits f_c = Σ_k θ_kc h_k of concepts (B, K) and relevances (B, K, C): (B, C)."""

    def forward(self, concepts: Tensor, relevances: Tensor) -> Tensor:
        return sum_aggregator(concepts, relevances)


class LayeredSenn(nn.Module):
    """A `Senn` in evaluation mode, without decoder: (B, *input_shape) to logits (B, C).

    `concepts` is h, (B, *input_shape) to (B, K), and `relevances` is θ, to (B, K, C). No layer is
    used twice, as libraries that hook layers require.
    """

    def __init__(self, concepts: nn.Sequential, relevances: nn.Sequential) -> None:
        super().__init__()
        self.concepts, self.relevances = concepts, relevances
        self.product = WeightedSum()

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.product(self.concepts(x), self.relevances(x))
        return logits


def layered(model: nn.Module) -> nn.Module:
    """A `Senn` as layers of ``torch.nn``; any other module as it is.

    Nothing is copied: the layers have the model's weights, and see it when these change in place.

    Raises
    ------
    PipelineError
        If a part of the `Senn` is of a kind that is not known here.
    """
    if not isinstance(model, Senn):
        return model
    if model.aggregator is not sum_aggregator:
        raise _unknown("aggregator", model.aggregator)
    layers = LayeredSenn(
        nn.Sequential(*_concept_layers(model.conceptizer)),
        nn.Sequential(*_relevance_layers(model.parameterizer)),
    )
    return layers.train(model.training)


def _concept_layers(conceptizer: Conceptizer) -> list[nn.Module]:
    match conceptizer:
        case IdentityConceptizer():
            return [nn.Flatten()]
        case ConvConceptizer():
            return [
                *_pooled_convolutions(conceptizer.convolutions),
                _to_scalars(conceptizer.to_scalar, conceptizer.map_shape),
                nn.Flatten(),
            ]
        case VaeConceptizer():
            return [nn.Flatten(), *_perceptron([*conceptizer.encoder, conceptizer.mean_head])]
    raise _unknown("conceptizer", conceptizer)


def _relevance_layers(parameterizer: Parameterizer) -> list[nn.Module]:
    match parameterizer:
        case MlpParameterizer():
            return [
                nn.Flatten(),
                *_perceptron(parameterizer.layers),
                _per_concept_and_class(parameterizer),
            ]
        case ConvParameterizer():
            return [
                *_pooled_convolutions(parameterizer.convolutions),
                nn.Flatten(),
                *_perceptron(parameterizer.layers),
                nn.Tanh(),
                _per_concept_and_class(parameterizer),
            ]
    raise _unknown("parameterizer", parameterizer)


def _per_concept_and_class(parameterizer: Parameterizer) -> nn.Unflatten:
    return nn.Unflatten(1, (parameterizer.num_concepts, parameterizer.num_classes))


def _perceptron(linear: Iterable[nn.Module]) -> list[nn.Module]:
    """The linear layers with ReLU between them."""
    layers: list[nn.Module] = []
    for layer in linear:
        assert isinstance(layer, nn.Linear)
        outputs, inputs = layer.weight.shape
        plain = nn.Linear(inputs, outputs, device="meta")
        layers += [_with_weights(plain, layer.weight, layer.bias), nn.ReLU()]
    return layers[:-1]


def _pooled_convolutions(convolutions: Iterable[nn.Module]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for layer in convolutions:
        assert isinstance(layer, nn.Conv2d)
        outputs, inputs, *kernel = layer.weight.shape
        plain = nn.Conv2d(inputs, outputs, (kernel[0], kernel[1]), device="meta")
        layers += [_with_weights(plain, layer.weight, layer.bias), nn.MaxPool2d(2), nn.ReLU()]
    return layers


def _to_scalars(layer: PerChannelLinear, map_shape: tuple[int, int]) -> nn.Conv2d:
    """One linear map to a scalar per channel: a grouped convolution to (B, K, 1, 1)."""
    channels = len(layer.weight)
    plain = nn.Conv2d(channels, channels, map_shape, groups=channels, device="meta")
    weight = _view(layer.weight, (channels, 1, *map_shape))
    return _with_weights(plain, weight, _view(layer.bias, (channels,)))


def _view(parameter: nn.Parameter, shape: tuple[int, ...]) -> nn.Parameter:
    """The same numbers in memory, in another shape."""
    return nn.Parameter(parameter.detach().view(shape), parameter.requires_grad)


def _with_weights(layer: LayerT, weight: Tensor, bias: Tensor | None) -> LayerT:
    """`layer` with these parameters for its own."""
    assert isinstance(weight, nn.Parameter) and weight.shape == layer.weight.shape
    assert isinstance(bias, nn.Parameter) and bias.shape == weight.shape[:1]
    layer.weight, layer.bias = weight, bias
    return layer


def _unknown(part: str, value: object) -> PipelineError:
    name = getattr(value, "__name__", type(value).__name__)
    return PipelineError(
        f"{part} {name} has no equivalent in layers of torch.nn: "
        "pipeline/explanations/layered.py must be taught it"
    )
