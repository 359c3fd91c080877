"""SENNs as one writes them down from the papers with plain `torch.nn`, to compare ours with.

`Architecture` makes both: ``.senn(seed)`` is the pipeline's network, ``.textbook(seed)`` the plain
one with the same weights.
"""

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from pipeline.models.conceptizers import (
    Conceptizer,
    ConvConceptizer,
    IdentityConceptizer,
    VaeConceptizer,
)
from pipeline.models.parameterizers import ConvParameterizer, MlpParameterizer, Parameterizer
from pipeline.models.senn import Senn
from pipeline.models.words import RecurrentParameterizer, WordsConceptizer

WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")  # of a recurrent layer


@dataclass(frozen=True)
class Architecture:
    """Sizes of a SENN; the parameterizer is convolutional if it has `channels`.

    It is recurrent if it has a `cell`, with `hidden_sizes` of one number.
    """

    input_shape: tuple[int, ...]
    concepts: int
    classes: int
    conceptizer: Literal["identity", "conv", "vae", "words"] = "identity"
    concept_channels: tuple[int, ...] = (3,)
    decoder_channels: tuple[int, int] = (4, 3)
    decoder_shared: bool = False
    vae_sizes: tuple[int, ...] = (12, 9)
    target: str = "review2020"
    mean: float = 0.0
    std: float = 1.0
    channels: tuple[int, ...] = ()
    kernel_size: int = 5
    hidden_sizes: tuple[int, ...] = ()
    dropout: float = 0.0
    cell: Literal["", "gru", "lstm"] = ""
    bidirectional: bool = False

    def with_(self, **changes: Any) -> "Architecture":
        return replace(self, **changes)

    def senn(self, seed: int = 0) -> Senn:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return Senn(self._conceptizer(), self._parameterizer())

    def textbook(self, seed: int = 0) -> "Textbook":
        return same_weights(self.senn(seed), Textbook(self))

    def _conceptizer(self) -> Conceptizer:
        if self.conceptizer == "identity":
            return IdentityConceptizer(self.input_shape)
        if self.conceptizer == "conv":
            sizes = (self.concept_channels, self.kernel_size, self.decoder_channels)
            return ConvConceptizer(self.input_shape, self.concepts, *sizes, self.decoder_shared)
        if self.conceptizer == "words":
            return WordsConceptizer(self.input_shape, self.concepts)
        scaling = (self.target, self.mean, self.std)
        return VaeConceptizer(self.input_shape, self.concepts, self.vae_sizes, *scaling)

    def _parameterizer(self) -> Parameterizer:
        sizes = (self.input_shape, self.concepts, self.classes)
        if self.cell:
            (hidden_size,) = self.hidden_sizes
            of_cell = (self.cell, hidden_size, self.bidirectional)
            return RecurrentParameterizer(*sizes, self.dropout, *of_cell)
        if not self.channels:
            return MlpParameterizer(*sizes, self.hidden_sizes, self.dropout)
        layers = (self.channels, self.kernel_size, self.hidden_sizes)
        return ConvParameterizer(*sizes, *layers, self.dropout)


TABLE_11 = Architecture((11,), 11, 2, hidden_sizes=(5, 5))
TABLE_7 = Architecture((7,), 7, 3, hidden_sizes=(6,), dropout=0.5)
DIGITS = Architecture((1, 28, 28), 5, 4, "conv", channels=(3, 4), dropout=0.5)
COLOURS = Architecture((3, 16, 20), 4, 3, "conv", channels=(4,), hidden_sizes=(6,), dropout=0.2)
DIGITS_SHARED = DIGITS.with_(decoder_shared=True)
DIGITS_VAE = Architecture((1, 28, 28), 3, 4, "vae", channels=(3, 4), dropout=0.5)
COLOURS_VAE = Architecture((3, 12, 12), 5, 3, "vae", channels=(4, 3), kernel_size=3)
PIXELS = Architecture((3, 12, 12), 432, 3, channels=(4,))
ARCHITECTURES = {
    "table-11": TABLE_11,
    "table-7": TABLE_7,
    "digits": DIGITS,
    "digits-shared": DIGITS_SHARED,
    "colours": COLOURS,
    "digits-vae": DIGITS_VAE,
    "colours-vae": COLOURS_VAE,
    "pixels": PIXELS,
}


WORDS = Architecture((5, 3), 5, 3, "words", hidden_sizes=(4,), cell="gru")
TEXTS = {
    "gru": WORDS,
    "gru-both-ways": WORDS.with_(bidirectional=True, dropout=0.5),
    "lstm": WORDS.with_(cell="lstm", dropout=0.5),
    "lstm-both-ways": WORDS.with_(cell="lstm", bidirectional=True),
}


class TextbookOutput(NamedTuple):
    logits: Tensor
    concepts: Tensor
    relevances: Tensor
    reconstruction: Tensor
    mean: Tensor | None
    logvar: Tensor | None


class Textbook(nn.Module):
    """A SENN of plain layers, registered in the order of the pipeline's parameters."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.a = a = architecture
        size = math.prod(a.input_shape)
        if a.conceptizer == "conv":
            (depth, *_), k = a.input_shape, a.kernel_size
            widths = (depth, *a.concept_channels, a.concepts)
            self.encoder = nn.ModuleList(nn.Conv2d(i, o, k) for i, o in pairwise(widths))
            self.map_shape = _map_shape(a.input_shape, k, len(widths) - 1)
            area, groups = math.prod(self.map_shape), a.concepts
            # A linear map of its own per channel is a convolution in as many groups.
            self.to_scalar = nn.Conv1d(groups, groups, area, groups=groups)
            self.from_scalar = nn.Conv1d(groups, groups * area, 1, groups=groups)
            if a.decoder_shared:
                self.from_scalar = nn.Linear(1, area)
            wide, narrow = a.decoder_channels
            self.decoder = nn.Sequential(
                nn.ConvTranspose2d(a.concepts, wide, k, stride=2),
                nn.ReLU(),
                nn.ConvTranspose2d(wide, narrow, k),
                nn.ReLU(),
                nn.ConvTranspose2d(narrow, depth, 2, stride=2, padding=1),
                nn.Tanh(),
            )
        elif a.conceptizer == "vae":
            widths = (size, *a.vae_sizes)
            self.encoder = nn.ModuleList(nn.Linear(i, o) for i, o in pairwise(widths))
            self.mean = nn.Linear(widths[-1], a.concepts)
            self.logvar = nn.Linear(widths[-1], a.concepts)
            widths = (a.concepts, *reversed(a.vae_sizes), size)
            layers = [nn.Linear(i, o) for i, o in pairwise(widths)]
            activations = [nn.ReLU() for _ in layers[1:]]
            pairs = zip(layers, [*activations, nn.Sigmoid()], strict=True)
            self.decoder = nn.Sequential(*(module for pair in pairs for module in pair))
        if a.cell:
            self.recurrent = RecurrentLayer(a)
            self.linear = nn.Linear(a.hidden_sizes[0] * (1 + a.bidirectional), a.classes)
            return
        widths = (a.input_shape[0], *a.channels)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(i, o, a.kernel_size) for i, o in pairwise(widths)
        )
        if a.channels:
            shape = _map_shape(a.input_shape, a.kernel_size, len(a.channels))
            size = a.channels[-1] * math.prod(shape)
        widths = (size, *a.hidden_sizes, a.concepts * a.classes)
        self.layers = nn.ModuleList(nn.Linear(i, o) for i, o in pairwise(widths))

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the β-VAE's q(z | x)."""
        x = x.flatten(1)
        for layer in self.encoder:
            x = torch.relu(layer(x))
        return self.mean(x), self.logvar(x)

    def h(self, x: Tensor) -> Tensor:
        """Concepts, (B, K)."""
        if self.a.conceptizer == "identity":
            return x.flatten(1)
        if self.a.conceptizer == "vae":
            return self.posterior(x)[0]
        if self.a.conceptizer == "words":
            return (x != 0).any(2).to(x.dtype)
        for layer in self.encoder:
            x = torch.relu(F.max_pool2d(layer(x), 2))
        return self.to_scalar(x.flatten(2)).squeeze(2)

    def decode(self, z: Tensor) -> Tensor:
        """Reconstruction, (B, *input_shape), in normalised units; of words there is none."""
        if self.a.conceptizer == "words":
            return z.new_zeros(len(z), *self.a.input_shape)
        if self.a.conceptizer == "conv":
            return self.decoder(self.from_scalar(z.unsqueeze(2)).view(*z.shape, *self.map_shape))
        x = z if self.a.conceptizer == "identity" else self.decoder(z)
        x = x.view(-1, *self.a.input_shape)
        if self.a.conceptizer == "vae" and self.a.target == "unit":
            return (x - self.a.mean) / self.a.std
        return x

    def theta(self, x: Tensor, masks: list[Tensor] | None = None) -> Tensor:
        """Relevances, (B, K, C); `masks` in the order of use, a layer's output is multiplied by."""
        if self.a.cell:
            return self.words(x, masks)
        left = list(masks) if masks is not None else None

        def dropout(x: Tensor) -> Tensor:
            return x if left is None else x * left.pop(0)

        for index, layer in enumerate(self.convolutions):
            x = layer(x)
            if index == len(self.convolutions) - 1:
                x = dropout(x)
            x = torch.relu(F.max_pool2d(x, 2))
        x = x.flatten(1)
        for layer in self.layers[:-1]:
            x = torch.relu(dropout(layer(x)))
        x = self.layers[-1](x)
        if self.convolutions:
            x = torch.tanh(dropout(x))
        assert not left, "not all masks were used"
        return x.view(len(x), self.a.concepts, self.a.classes)

    def words(self, x: Tensor, masks: list[Tensor] | None) -> Tensor:
        """Relevances of the words that each text has, read by themselves; of others 0."""
        of_texts = []
        for index, text in enumerate(x):
            is_there = (text != 0).any(1)
            states = self.recurrent(text[is_there].unsqueeze(0)).squeeze(0)
            states = states if masks is None else states * masks[0][index]
            theta = x.new_zeros(len(text), self.a.classes)
            of_texts.append(theta.masked_scatter(is_there.unsqueeze(1), self.linear(states)))
        return torch.stack(of_texts)

    def forward(
        self, x: Tensor, masks: list[Tensor] | None = None, noise: Tensor | None = None
    ) -> TextbookOutput:
        h, theta = self.h(x), self.theta(x, masks)
        mean, logvar = self.posterior(x) if self.a.conceptizer == "vae" else (None, None)
        z = h
        if noise is not None:
            assert logvar is not None
            z = h + logvar.exp().sqrt() * noise
        logits = (h.unsqueeze(2) * theta).sum(1)
        return TextbookOutput(logits, h, theta, self.decode(z), mean, logvar)


class RecurrentLayer(nn.Module):
    """torch's own, of weights that are stacked over directions."""

    def __init__(self, a: Architecture) -> None:
        super().__init__()
        kind = {"gru": nn.GRU, "lstm": nn.LSTM}[a.cell]
        sizes = (a.input_shape[1], *a.hidden_sizes)
        self.layer = [kind(*sizes, batch_first=True, bidirectional=a.bidirectional, device="meta")]
        for name in WEIGHTS:
            shape = getattr(self.layer[0], f"{name}_l0").shape
            self.register_parameter(name, nn.Parameter(torch.empty(1 + a.bidirectional, *shape)))

    def forward(self, x: Tensor) -> Tensor:
        named = {
            f"{name}_l0{suffix}": rows
            for name in WEIGHTS
            for rows, suffix in zip(getattr(self, name), ("", "_reverse"), strict=False)
        }
        return functional_call(self.layer[0], named, x)[0]


def same_weights(source: nn.Module, target: nn.Module) -> Any:
    """Copy the parameters of `source` into `target`, in order, and return `target`."""
    pairs = zip(source.parameters(), target.parameters(), strict=True)
    with torch.no_grad():
        for of_source, of_target in pairs:
            of_target.copy_(of_source.reshape(of_target.shape))
    return target


def random_batch(architecture: Architecture, examples: int = 4, seed: int = 0) -> Tensor:
    """Standard normal inputs in float64, (examples, *input_shape); texts lack some of the words."""
    generator = torch.Generator().manual_seed(seed)
    shape = (examples, *architecture.input_shape)
    x = torch.randn(shape, generator=generator, dtype=torch.float64)
    if architecture.conceptizer == "words":
        x[torch.rand(shape[:2], generator=generator) < 0.2] = 0
    return x


def _map_shape(input_shape: tuple[int, ...], kernel_size: int, layers: int) -> tuple[int, int]:
    x = torch.zeros(1, 1, *input_shape[1:])
    for _ in range(layers):
        x = F.max_pool2d(F.conv2d(x, torch.zeros(1, 1, kernel_size, kernel_size)), 2)
    return (x.shape[2], x.shape[3])
