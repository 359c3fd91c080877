"""What using a model needs to know of its training data, small enough to travel in its file."""

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from pipeline.core.dataset import Dataset
from pipeline.data.scales import Scale
from pipeline.explanations.latents import latent_spread
from pipeline.explanations.method import Background
from pipeline.models.conceptizers import VaeConceptizer
from pipeline.models.senn import Senn

_EMPTY_BORDER = 0.95  # share of border pixels with one value, from which images have a ground


class Ground(BaseModel):
    """What the training images show something on, such as the black around a digit of MNIST.

    value : of its pixels, in [0, 1].
    extent : pixels, the longer side of the box around what is shown; the median over images.
    drawn : the least and the largest mean difference from `value` over an image's pixels.
    """

    model_config = ConfigDict(frozen=True)
    value: float
    extent: int
    drawn: tuple[float, float]

    def drawn_on(self, pixels: Tensor) -> Tensor:
        """Mean difference from `value` of images (N, channels, height, width), (N,)."""
        return (pixels - self.value).abs().flatten(1).mean(1)


class Facts(BaseModel):
    """What explaining an input needs besides the model; floats have the 9 digits of a float32.

    feature_names, plain_names, scales : one per column of a table; empty for others.
    baseline : the training median of every feature, normalised and flattened (`Background`).
    usual : training median of each column of a table, raw; of indicators that are the categories of
        one feature, ``feature=category``, the commonest is 1.
    low, high : raw 0 and 1 after normalisation, of all features together or of each.
    feature_range : least and largest training value of each column of a table.
    concept_range : least and largest training value of each concept.
    never_together : pairs of indicators (columns that are 0 or 1), which no training row has both.
    ground : of images, if they have one.
    latent_spread : of each latent variable, if a β-VAE makes the concepts.
    vocabulary : the words of texts; the first, "", is none, the second all that are unknown.
    caveat : what everyone must know who uses the model, or nothing.
    """

    model_config = ConfigDict(frozen=True)
    class_names: tuple[str, ...]
    feature_names: tuple[str, ...]
    plain_names: tuple[str, ...]
    scales: tuple[Scale, ...]
    baseline: tuple[float, ...]
    usual: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    feature_range: tuple[tuple[float, float], ...]
    concept_range: tuple[tuple[float, float], ...]
    never_together: tuple[tuple[int, int], ...]
    ground: Ground | None
    latent_spread: tuple[float, ...] | None
    caveat: str
    vocabulary: tuple[str, ...] = ()

    def background(self, input_shape: tuple[int, ...]) -> Background:
        """What explanation methods may know of the data."""
        of_all: list[Any] = [
            torch.tensor(ends if len(ends) > 1 else ends[0]) for ends in (self.low, self.high)
        ]
        return Background(torch.tensor(self.baseline).view(input_shape), *of_all)


@torch.no_grad()
def facts_of(senn: Senn, data: Dataset, table: Path) -> Facts:
    """The facts about `senn` and its training data; `table` is the dataset's file for people."""
    from pipeline.data.registry import caveat, plain_names, scales  # slow to import

    x = data.train.x
    columns = data.feature_names
    background = Background.of(data)
    raw = _raw(data)
    concepts = torch.cat([senn.conceptizer.encode(batch) for batch in x.split(500)])
    spread = None
    if isinstance(senn.conceptizer, VaeConceptizer):  # over the test set, as in the report
        spread = _floats(latent_spread(senn.conceptizer.posterior(data.test.x)))
    return Facts(
        class_names=data.class_names,
        feature_names=columns,
        plain_names=tuple(plain_names(data.name, columns)),
        scales=_scales(columns, raw, scales(data.name), table) if columns else (),
        baseline=_floats(background.baseline),
        usual=_floats(_usual(columns, raw)) if columns else (),
        low=_floats(torch.as_tensor(data.low)),
        high=_floats(torch.as_tensor(data.high)),
        feature_range=_ranges(raw) if columns else (),
        concept_range=_ranges(concepts),
        never_together=_never_together(raw) if columns else (),
        ground=_ground(raw) if data.kind == "images" else None,
        latent_spread=spread,
        caveat=caveat(data.name),
        vocabulary=data.vocabulary,
    )


def _scales(
    columns: tuple[str, ...], raw: Tensor, known: Mapping[str, Scale], table: Path
) -> tuple[Scale, ...]:
    """Those that are `known`, and linear ones where the table for people has other values than raw.

    Its training rows are in the order of `raw` (rows, columns).
    """
    if not table.is_file():
        return tuple(known.get(name, Scale()) for name in columns)
    import pandas as pd  # slow to import

    rows = pd.read_csv(table)
    shown, scales = rows[rows["split"] == "train"], []
    for name, values in zip(columns, raw.T.double(), strict=True):
        low, high = float(rows[name].min()), float(rows[name].max())
        scale = known.get(name, Scale())
        if name not in known and high > low:
            scaled = (torch.tensor(shown[name].to_numpy("float64")) - low) / (high - low)
            if len(scaled) == len(values) and torch.allclose(scaled, values, atol=1e-6):
                scale = Scale(low, high)
        scales.append(scale)
    return tuple(scales)


def _usual(columns: tuple[str, ...], raw: Tensor) -> Tensor:
    usual = raw.median(0).values
    features = [name.rpartition("=")[0] for name in columns]
    for feature in set(features) - {""}:
        of_one = [column for column, name in enumerate(features) if name == feature]
        if (raw[:, of_one].sum(1) == 1).all():
            usual[of_one] = 0
            usual[of_one[int(raw[:, of_one].sum(0).argmax())]] = 1
    return usual


def _raw(data: Dataset) -> Tensor:
    """The training examples before normalisation; whole numbers, such as indicators, are whole."""
    raw = data.train.x * torch.tensor(data.std) + torch.tensor(data.mean)
    return torch.where((raw - raw.round()).abs() < 1e-6, raw.round(), raw)


def _floats(values: Tensor) -> tuple[float, ...]:
    return tuple(float(f"{value:.9g}") for value in values.flatten().tolist())


def _ranges(values: Tensor) -> tuple[tuple[float, float], ...]:
    ends = zip(_floats(values.amin(0)), _floats(values.amax(0)), strict=True)
    return tuple(ends)


def _never_together(x: Tensor) -> tuple[tuple[int, int], ...]:
    indicators = [column for column in range(x.shape[1]) if set(x[:, column].tolist()) == {0, 1}]
    together = x.T @ x
    return tuple(pair for pair in combinations(indicators, 2) if together[pair] == 0)


def _ground(pixels: Tensor) -> Ground | None:
    """That of images (N, channels, height, width) in [0, 1]; None if borders are not plain."""
    shown = torch.ones(pixels.shape[2:], dtype=torch.bool)
    shown[1:-1, 1:-1] = False
    border = (pixels[..., shown] * 255).round()
    value = border.flatten().median()
    if (border == value).float().mean() < _EMPTY_BORDER:
        return None
    drawn = ((pixels * 255).round() != value).any(1)
    sides = torch.stack([_length(drawn.any(axis)) for axis in (1, 2)])
    ground = Ground(value=float(value / 255), extent=int(sides.amax(0).median()), drawn=(0.0, 0.0))
    ((least, most),) = _ranges(ground.drawn_on(pixels).unsqueeze(1))
    return ground.model_copy(update={"drawn": (least, most)})


def _length(present: Tensor) -> Tensor:
    """From the first to the last present place, (N, length) → (N,)."""
    places = torch.arange(present.shape[1]).expand_as(present)
    first = torch.where(present, places, present.shape[1]).amin(1)
    return torch.where(present, places, -1).amax(1) - first + 1
