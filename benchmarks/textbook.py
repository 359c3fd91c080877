"""The baseline: SENN and DiSENN, one model at a time, as one would write them from the papers.

Plain `torch.nn` layers, a `DataLoader`, and the robustness loss as the review's published code
computes it: the differentiable Jacobians of f and of h, by one backward pass through the whole
model per class and per concept. It shares only its settings with the pipeline; a test checks that
losses and gradients are equal.
"""

import copy
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from pipeline.core import params as p
from pipeline.core import params_choices as choice
from pipeline.core.dataset import Dataset, Split


class Output(NamedTuple):
    """`logits` (B, C), `concepts` (B, K), `relevances` (B, K, C), `reconstruction` shaped like x.

    `mean` and `logvar` (B, K) describe DiSENN's posterior; None for SENN.
    """

    logits: Tensor
    concepts: Tensor
    relevances: Tensor
    reconstruction: Tensor
    mean: Tensor | None
    logvar: Tensor | None


class Textbook(nn.Module):
    """The network of experiment `name`, for the inputs of `data`."""

    def __init__(self, params: p.Params, name: str, data: Dataset) -> None:
        super().__init__()
        self.params, self.experiment = params, params.experiment(name)
        self.concepts, self.classes = self.experiment.num_concepts, self.experiment.num_classes
        example = data.train.x[0]
        match self.experiment.conceptizer:
            case choice.IdentityConceptizer():
                self.conceptizer: nn.Module = IdentityConceptizer()
            case choice.ConvConceptizer() as conv:
                self.conceptizer = ConvConceptizer(conv, self.concepts, example)
            case choice.VaeConceptizer():
                self.conceptizer = VaeConceptizer(params.vae, data)
        outputs, dropout = self.concepts * self.classes, self.experiment.dropout
        match self.experiment.parameterizer:
            case choice.MlpParameterizer() as mlp:
                widths = (len(example), *mlp.hidden_sizes, outputs)
                self.parameterizer = nn.Sequential(*linear_layers(widths, dropout))
            case choice.ConvParameterizer() as cnn:
                self.parameterizer = conv_parameterizer(cnn, outputs, dropout, example)

    def forward(self, x: Tensor) -> Output:
        h, reconstruction, mean, logvar = self.conceptizer(x)
        theta = self.parameterizer(x).view(-1, self.concepts, self.classes)
        logits = torch.bmm(h.unsqueeze(1), theta).squeeze(1)
        return Output(logits, h, theta, reconstruction, mean, logvar)


class IdentityConceptizer(nn.Module):
    """h(x) = x."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, None, None]:
        return x, x, None, None


class ConvConceptizer(nn.Module):
    """Convolutional autoencoder; linear layers map each feature map to its concept and back."""

    def __init__(self, settings: choice.ConvConceptizer, concepts: int, image: Tensor) -> None:
        super().__init__()
        depth, size = len(image), settings.kernel_size
        self.encoder = nn.Sequential(*conv_layers((depth, *settings.channels, concepts), size))
        self.map_shape = self.encoder(image.unsqueeze(0)).shape[2:]
        area = self.map_shape.numel()
        self.to_scalar = nn.ModuleList(nn.Linear(area, 1) for _ in range(concepts))
        back = [nn.Linear(1, area) for _ in range(1 if settings.decoder_shared else concepts)]
        self.from_scalar = nn.ModuleList(back * (concepts // len(back)))
        wide, narrow = settings.decoder_channels
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(concepts, wide, size, stride=2),
            nn.ReLU(),
            nn.ConvTranspose2d(wide, narrow, size),
            nn.ReLU(),
            nn.ConvTranspose2d(narrow, depth, 2, stride=2, padding=1),
            nn.Tanh(),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, None, None]:
        maps = self.encoder(x).flatten(2)
        h = torch.cat([to(maps[:, k]) for k, to in enumerate(self.to_scalar)], 1)
        maps = torch.stack([back(h[:, k : k + 1]) for k, back in enumerate(self.from_scalar)], 1)
        return h, self.decoder(maps.unflatten(2, self.map_shape)), None, None


class VaeConceptizer(nn.Module):
    """β-VAE whose latent means are the concepts; in training a sample is decoded."""

    def __init__(self, settings: p.Vae, data: Dataset) -> None:
        super().__init__()
        self.shape = data.input_shape
        unit = settings.target == "unit"
        mean, std = (data.mean, data.std) if unit else (0.0, 1.0)
        assert isinstance(mean, float) and isinstance(std, float), "images"
        self.shift, self.scale = mean, std
        widths = (data.train.x[0].numel(), *settings.hidden_sizes)
        self.encoder = nn.Sequential(nn.Flatten(), *linear_layers(widths), nn.ReLU())
        self.mean = nn.Linear(widths[-1], settings.num_concepts)
        self.logvar = nn.Linear(widths[-1], settings.num_concepts)
        widths = (settings.num_concepts, *reversed(widths))
        self.decoder = nn.Sequential(*linear_layers(widths), nn.Sigmoid())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        hidden = self.encoder(x)
        mean, logvar = self.mean(hidden), self.logvar(hidden)
        z = mean
        if self.training:
            z = mean + torch.exp(0.5 * logvar) * torch.randn_like(mean)
        pixels = self.decoder(z).unflatten(1, self.shape)
        return mean, (pixels - self.shift) / self.scale, mean, logvar


def conv_parameterizer(
    settings: choice.ConvParameterizer, outputs: int, dropout: float, image: Tensor
) -> nn.Sequential:
    """Convolutions, with channel dropout after the last; linear layers; dropout; tanh."""
    layers = conv_layers((len(image), *settings.channels), settings.kernel_size)
    layers.insert(-2, nn.Dropout2d(dropout))
    convolutions = nn.Sequential(*layers, nn.Flatten())
    features = convolutions(image.unsqueeze(0)).shape[1]
    linear = linear_layers((features, *settings.hidden_sizes, outputs), dropout)
    return nn.Sequential(*convolutions, *linear, nn.Dropout(dropout), nn.Tanh())


def conv_layers(channels: Sequence[int], kernel_size: int) -> list[nn.Module]:
    """Convolutions, each followed by max-pooling by 2 and ReLU."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(channels):
        layers += [nn.Conv2d(inputs, outputs, kernel_size), nn.MaxPool2d(2), nn.ReLU()]
    return layers


def linear_layers(widths: Sequence[int], dropout: float = 0.0) -> list[nn.Module]:
    """Linear layers with ReLU, and dropout if any, between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        between = [nn.Dropout(dropout), nn.ReLU()] if dropout > 0 else [nn.ReLU()]
        layers += [*between, nn.Linear(inputs, outputs)] if layers else [nn.Linear(inputs, outputs)]
    return layers


def total_loss(model: Textbook, robust_reg: float, x: Tensor, y: Tensor) -> Tensor:
    """L_y + λ L_θ + concept_reg · L_h of one batch."""
    x = x.detach().requires_grad_()
    output = model(x)
    classification = F.cross_entropy(output.logits, y)
    robustness = robustness_loss(x, output, model.params.robustness.variant)
    concept = concept_loss(model, x, output)
    return classification + robust_reg * robustness + model.experiment.concept_reg * concept


def robustness_loss(x: Tensor, output: Output, variant: str) -> Tensor:
    """‖∇ₓf(x) − θ(x)ᵀ Jʰₓ(x)‖, Frobenius over the batch; `x` requires gradients.

    f are the logits with ``paper2018``, otherwise their log-softmax. For tables ``review2020`` has
    that code's shortcut: one gradient, summed over classes, and θ in place of θᵀJʰ.

    Raises
    ------
    ValueError
        If `variant` is not one of the published ones.
    """
    match variant:
        case "paper2018":
            f = output.logits
        case "review2020" | "authors2018":
            f = F.log_softmax(output.logits, 1)
        case _:
            raise ValueError(f"the textbook has no robustness loss {variant}")
    if variant == "review2020" and x.ndim == 2:
        (summed,) = torch.autograd.grad(f, x, torch.ones_like(f), create_graph=True)
        return (summed.unsqueeze(2) - output.relevances).norm()
    jacobian_of_f, jacobian_of_h = jacobian(f, x), jacobian(output.concepts, x)
    return (jacobian_of_f - torch.bmm(jacobian_of_h, output.relevances)).norm()


def jacobian(outputs: Tensor, x: Tensor) -> Tensor:
    """∂outputs/∂x for every example, differentiable, (B, features, outputs)."""
    columns = []
    for index in range(outputs.shape[1]):
        chosen = torch.zeros_like(outputs)
        chosen[:, index] = 1
        (gradient,) = torch.autograd.grad(outputs, x, chosen, create_graph=True)
        columns.append(gradient.flatten(1))
    return torch.stack(columns, 2)


def concept_loss(model: Textbook, x: Tensor, output: Output) -> Tensor:
    """SENN: squared error of the reconstruction + ξ Σ|h|; DiSENN: the β-VAE's loss."""
    if not isinstance(model.conceptizer, VaeConceptizer):
        assert model.experiment.sparsity_reg is not None
        sparsity = output.concepts.abs().sum()
        return F.mse_loss(output.reconstruction, x) + model.experiment.sparsity_reg * sparsity
    assert model.experiment.beta is not None
    assert output.mean is not None and output.logvar is not None
    scale = model.conceptizer.scale
    error = F.mse_loss(output.reconstruction * scale, x * scale)
    if model.params.vae.objective == "elbo":
        error = error * x[0].numel()
    kl = 0.5 * (output.mean**2 + output.logvar.exp() - 1 - output.logvar).sum(1).mean()
    return error + model.experiment.beta * kl


def train(
    model: Textbook,
    robust_reg: float,
    data: Dataset,
    device: torch.device,
    report: Callable[[int, float], None],
) -> dict[str, Tensor]:
    """Train `model`; return the weights with the best validation accuracy.

    Parameters
    ----------
    data : on the CPU, where a `DataLoader` makes the batches.
    report : called after every epoch with its number and the best validation accuracy so far.
    """
    experiment, model = model.experiment, model.to(device)
    adam = torch.optim.Adam(model.parameters(), lr=experiment.lr)
    examples = TensorDataset(data.train.x, data.train.y)
    loader = DataLoader(examples, experiment.batch_size, shuffle=True, drop_last=True)
    step, best, best_weights = 0, -1.0, model.state_dict()
    for epoch in range(1, experiment.epochs + 1):
        model.train()
        for x, y in loader:
            loss = total_loss(model, robust_reg, x.to(device), y.to(device))
            adam.zero_grad()
            loss.backward()
            adam.step()
            step += 1
            if step % experiment.eval_freq == 0 or step == len(loader) * experiment.epochs:
                accuracy = validate(model, data.valid, device)
                model.train(experiment.training_mode_until == "epoch_end")
                if accuracy > best:
                    best, best_weights = accuracy, copy.deepcopy(model.state_dict())
        report(epoch, best)
    return best_weights


@torch.no_grad()
def validate(model: Textbook, split: Split, device: torch.device) -> float:
    """Accuracy on `split`; leaves the model in evaluation mode."""
    model.eval()
    right = 0
    for x, y in DataLoader(TensorDataset(split.x, split.y), model.experiment.batch_size):
        right += int((model(x.to(device)).logits.argmax(1) == y.to(device)).sum())
    return right / len(split)
