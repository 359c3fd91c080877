"""Layers of ``torch.nn`` that compute what those of `layers` do, and have the same weights.

What a `Conceptizer` or `Parameterizer` returns from ``as_layers`` is made of them: libraries of
explanations and rules of relevance propagation know no others. Nothing is copied: a layer made here
sees the model's weights change.
"""

from collections.abc import Iterable
from typing import TypeVar

from torch import Tensor, nn

from pipeline.models.layers import PerChannelLinear

LayerT = TypeVar("LayerT", nn.Linear, nn.Conv2d)


def perceptron(linear: Iterable[nn.Module]) -> list[nn.Module]:
    """The linear layers with ReLU between them."""
    layers: list[nn.Module] = []
    for layer in linear:
        assert isinstance(layer, nn.Linear)
        layers += [linear_layer(layer.weight, layer.bias), nn.ReLU()]
    return layers[:-1]


def linear_layer(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """A linear layer with these parameters, (outputs, inputs) and (outputs,)."""
    outputs, inputs = weight.shape
    return _with_weights(nn.Linear(inputs, outputs, device="meta"), weight, bias)


def pooled_convolutions(convolutions: Iterable[nn.Module]) -> list[nn.Module]:
    """Every `PooledConv2d` as convolution, max-pooling and ReLU."""
    layers: list[nn.Module] = []
    for layer in convolutions:
        assert isinstance(layer, nn.Conv2d)
        outputs, inputs, *kernel = layer.weight.shape
        standard = nn.Conv2d(inputs, outputs, (kernel[0], kernel[1]), device="meta")
        layers += [_with_weights(standard, layer.weight, layer.bias), nn.MaxPool2d(2), nn.ReLU()]
    return layers


def to_scalars(layer: PerChannelLinear, map_shape: tuple[int, int]) -> nn.Conv2d:
    """One linear map to a scalar per channel: a grouped convolution to (B, K, 1, 1)."""
    channels = len(layer.weight)
    standard = nn.Conv2d(channels, channels, map_shape, groups=channels, device="meta")
    weight = _view(layer.weight, (channels, 1, *map_shape))
    return _with_weights(standard, weight, _view(layer.bias, (channels,)))


def _view(parameter: nn.Parameter, shape: tuple[int, ...]) -> nn.Parameter:
    """The same numbers in memory, in another shape."""
    return nn.Parameter(parameter.detach().view(shape), parameter.requires_grad)


def _with_weights(layer: LayerT, weight: Tensor, bias: Tensor | None) -> LayerT:
    """`layer` with these parameters for its own."""
    assert isinstance(weight, nn.Parameter) and weight.shape == layer.weight.shape
    assert isinstance(bias, nn.Parameter) and bias.shape == weight.shape[:1]
    layer.weight, layer.bias = weight, bias
    return layer
