"""Networks and inputs that tests of relevance propagation share, in float64 and seeded."""

import torch
from torch import Tensor, nn


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def random_weights(model: nn.Module, seed: int = 0, bias: str = "any") -> nn.Module:
    """`model` in float64, with standard normal weights; biases of ``any`` sign, ``negative``, 0."""
    generator = torch.Generator().manual_seed(seed)
    model = model.double().eval().requires_grad_(False)
    for name, parameter in model.named_parameters():
        parameter.normal_(generator=generator)
        if name.endswith("bias") and bias != "any":
            parameter.copy_(-0.1 * parameter.abs() if bias == "negative" else 0 * parameter)
    return model


def perceptron(bias: str = "any", seed: int = 0) -> nn.Module:
    """(B, 6) to logits (B, 3)."""
    layers = (nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 7), nn.ReLU(), nn.Linear(7, 3))
    return random_weights(nn.Sequential(*layers), seed, bias)


def convolutional(bias: str = "any", seed: int = 0) -> nn.Module:
    """(B, 2, 9, 9) to logits (B, 3)."""
    layers = (
        nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3, stride=1), nn.MaxPool2d(2), nn.ReLU(),
        nn.Flatten(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3),
    )  # fmt: skip
    return random_weights(nn.Sequential(*layers), seed, bias)


NETWORKS = {"perceptron": (perceptron, (6,)), "convolutional": (convolutional, (2, 9, 9))}
LAYERS = {
    "linear": (nn.Linear(6, 5), (6,)),
    "convolution": (nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2), (4, 7, 8)),
    "circular": (nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular"), (2, 5, 5)),
    "pooling": (nn.AvgPool2d(2, padding=1, count_include_pad=False), (3, 6, 5)),
    "adaptive": (nn.AdaptiveAvgPool2d(2), (2, 5, 7)),
}


def matrix(layer: nn.Module, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """A linear layer written out: W (outputs, inputs) and b (outputs,) of inputs of `shape`."""
    size = torch.Size(shape).numel()
    origin = torch.zeros(1, *shape, dtype=torch.float64)
    bias = layer(origin).flatten()
    columns = layer(torch.eye(size, dtype=torch.float64).unflatten(1, shape)).flatten(1) - bias
    return columns.T, bias
