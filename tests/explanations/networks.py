"""Small modules, in float64, whose explanations are known in closed form."""

import torch
from torch import nn


def affine(features: int, classes: int, seed: int = 0) -> nn.Linear:
    """f(x) = Wx + b."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Linear(features, classes).double().eval()


def relu_network(
    features: int, classes: int, activation: type[nn.Module] = nn.ReLU, bias: bool = True
) -> nn.Sequential:
    """Two hidden layers, with `activation` between."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return (
            nn.Sequential(
                nn.Linear(features, 16, bias),
                activation(),
                nn.Linear(16, 16, bias),
                activation(),
                nn.Linear(16, classes, bias),
            )
            .double()
            .eval()
        )
