"""A dataset as models see it, and the file that keeps it between stages."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor

from pipeline.core.errors import PipelineError
from pipeline.core.files import File, all_or_nothing, write_csv
from pipeline.core.kinds import Kind, kind_of
from pipeline.core.tensors import read_tensors, write_tensors

if TYPE_CHECKING:  # those who make tables have imported it
    import pandas as pd

FILE_NAME = "data.safetensors"
TABLE_NAME = "table.csv"
SPLITS = ("train", "valid", "test")
PATCH = 4  # pixels, height and width of a patch

Moments: TypeAlias = float | tuple[float, ...]
"""A mean or a standard deviation, of all features together or of each."""


@dataclass(frozen=True)
class Split:
    """Examples and their classes.

    Attributes
    ----------
    x : Tensor (N, *input_shape)
        float32 and normalised in a `Dataset`, as stored in a `Prepared`.
    y : Tensor (N,), int64
        Class indices.
    words : Tensor (N, words), int64, or None
        Of texts: where in the vocabulary the words are whose embeddings `x` has.
    """

    x: Tensor
    y: Tensor
    words: Tensor | None = None

    def __len__(self) -> int:
        return len(self.y)

    def to(self, device: torch.device | str) -> "Split":
        """The same split on `device`."""
        words = None if self.words is None else self.words.to(device)
        return Split(self.x.to(device), self.y.to(device), words)


@dataclass(frozen=True)
class Prepared:
    """A dataset before normalisation, as ``prepare`` makes it from raw files.

    Attributes
    ----------
    train, valid, test : Split
        Images as uint8 pixels (N, 1, height, width), tables as float32 (N, columns) in [0, 1],
        texts as rows of `embeddings`, int64 (N, words).
    feature_names : tuple of str
        One per column of a table; empty for images.
    class_names : tuple of str
        One per class.
    mean, std : float or tuple of float
        The normalisation is x = (raw - mean) / std, with raw pixels in [0, 1]; one number for all
        features, or one for each column of a table.
    table : DataFrame or None
        The same rows with column names, for people to read.
    vocabulary : tuple of str
        The words of texts; the first, "", is none.
    embeddings : Tensor (words of the vocabulary, D) or None
        A vector for each word, float32; zeros for none.
    """

    name: str
    train: Split
    valid: Split
    test: Split
    feature_names: tuple[str, ...]
    class_names: tuple[str, ...]
    mean: Moments = 0.0
    std: Moments = 1.0
    table: "pd.DataFrame | None" = None
    vocabulary: tuple[str, ...] = ()
    embeddings: Tensor | None = None

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input, as in a `Dataset`."""
        shape = tuple(self.train.x.shape[1:])
        return shape if self.embeddings is None else (*shape, self.embeddings.shape[1])


@dataclass(frozen=True)
class Dataset:
    """A dataset ready for training: three splits of normalised tensors.

    Attributes
    ----------
    train, valid, test : Split
        Normalised: x = (raw - mean) / std, raw values in [0, 1]; of texts, the words' embeddings.
    feature_names : tuple of str
        One per column of a table; empty for images.
    class_names : tuple of str
        One per class; their number is C.
    mean, std : float or tuple of float
        As in `Prepared`.
    low, high : Tensor () or (columns,)
        Raw 0 and 1 after normalisation: the range of all features, or of each; of texts, of each
        number of an embedding.
    digest : str
        SHA-256 of the prepared file.
    vocabulary, embeddings : tuple of str, Tensor or None
        As in `Prepared`.
    """

    name: str
    train: Split
    valid: Split
    test: Split
    feature_names: tuple[str, ...]
    class_names: tuple[str, ...]
    mean: Moments
    std: Moments
    low: Tensor
    high: Tensor
    digest: str
    vocabulary: tuple[str, ...] = ()
    embeddings: Tensor | None = None

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input: (columns,), (words, D) or (channels, height, width)."""
        return tuple(self.train.x.shape[1:])

    @property
    def kind(self) -> Kind:
        """What its inputs are."""
        return kind_of(self.input_shape)

    def deviation(self) -> Tensor:
        """Standard deviation of each feature over training examples, (*input_shape).

        Of texts: of each number of an embedding over all words.
        """
        x = self.train.x
        if self.kind == "texts":
            return x[is_word(x)].std(0, unbiased=False).expand(self.input_shape)
        return x.std(0, unbiased=False)

    def to(self, device: torch.device | str) -> "Dataset":
        """The same dataset with its tensors on `device`."""
        moved = {name: getattr(self, name).to(device) for name in (*SPLITS, "low", "high")}
        return dataclasses.replace(self, **moved)


def patches(input_shape: tuple[int, ...], side: int = PATCH) -> Tensor:
    """The patch that each feature belongs to, (*input_shape) int64, numbered from 0.

    Features of a patch are removed together. In images (channels, height, width) a patch has
    `side` × `side` pixels and all channels; those at the right and lower edge may be smaller. Each
    feature of a table is a patch, and each word of a text, with all numbers of its embedding.
    """
    if kind_of(input_shape) != "images":
        count, *numbers = input_shape
        return torch.arange(count).view(count, *[1] * len(numbers)).expand(input_shape)
    rows, columns = (torch.arange(length) // side for length in input_shape[1:])
    return (rows.unsqueeze(1) * (columns[-1] + 1) + columns).expand(input_shape)


def present(x: Tensor) -> Tensor:
    """Which features inputs (N, *input_shape) have, bool, to be broadcast with x.

    All, but of a text those of words alone: zeros stand for no word.
    """
    if kind_of(x.shape[1:]) != "texts":
        return torch.ones_like(x, dtype=torch.bool)
    return is_word(x).unsqueeze(2)


def is_word(x: Tensor) -> Tensor:
    """Which places of texts (N, words, D) hold a word, (N, words) bool; zeros stand for none."""
    return x.detach().abs().amax(2) != 0  # several times as fast as `any`


def save_dataset(folder: Path, prepared: Prepared) -> None:
    """Write ``data.safetensors`` into `folder`, and ``table.csv`` if there is a table.

    Equal content gives equal bytes. Either all files are written or none are.

    Raises
    ------
    PipelineError
        If the folder cannot be written.
    """
    tensors = {}
    for name in SPLITS:
        split: Split = getattr(prepared, name)
        tensors[f"{name}_x"], tensors[f"{name}_y"] = split.x, split.y
    keys = ["name", "feature_names", "class_names", "mean", "std"]
    if prepared.embeddings is not None:
        tensors["embeddings"] = prepared.embeddings
        keys.append("vocabulary")
    metadata = {key: getattr(prepared, key) for key in keys}
    with all_or_nothing(folder):
        if prepared.table is not None:
            write_csv(folder / TABLE_NAME, prepared.table)
        write_tensors(folder / FILE_NAME, tensors, metadata)


def file_of(folder: Path) -> File:
    """The file that `save_dataset` wrote into `folder`, for `read_dataset`."""
    return File(folder / FILE_NAME)


def load_dataset(folder: Path) -> Dataset:
    """`read_dataset` of what `save_dataset` wrote into `folder`."""
    return read_dataset(file_of(folder))


def read_dataset(file: File) -> Dataset:
    """Read what `save_dataset` wrote, normalised, on the CPU.

    Raises
    ------
    PipelineError
        If the file is missing, damaged or not a prepared dataset.
    """
    tensors, described = read_tensors(file)
    try:
        mean, std = (_moments(described[key]) for key in ("mean", "std"))
        splits = {name: Split(tensors[f"{name}_x"], tensors[f"{name}_y"]) for name in SPLITS}
        if (embeddings := tensors.get("embeddings")) is not None:
            splits = {name: Split(embeddings[s.x], s.y, s.x) for name, s in splits.items()}
            low, high = embeddings.aminmax(dim=0)
        else:
            splits = {name: Split(_normalised(s.x, mean, std), s.y) for name, s in splits.items()}
            low, high = (_normalised(torch.tensor(end).float(), mean, std) for end in (0.0, 1.0))
        return Dataset(
            name=described["name"],
            **splits,
            feature_names=tuple(described["feature_names"]),
            class_names=tuple(described["class_names"]),
            mean=mean,
            std=std,
            low=low,
            high=high,
            digest=file.digest(),
            vocabulary=tuple(described.get("vocabulary", ())),
            embeddings=embeddings,
        )
    except (KeyError, IndexError, ValueError) as error:
        raise PipelineError(
            f"{file}: not a prepared dataset ({error!r}). Remove it and run `dvc repro`."
        ) from error


def _moments(described: float | list[float]) -> Moments:
    return tuple(map(float, described)) if isinstance(described, list) else float(described)


def _normalised(raw: Tensor, mean: Moments, std: Moments) -> Tensor:
    # As torchvision's ToTensor and Normalize do, in this order and in float32.
    values = raw.float().div(255) if raw.dtype == torch.uint8 else raw
    shift, scale = (torch.tensor(moments, dtype=torch.float32) for moments in (mean, std))
    return values.sub(shift).div(scale)
