"""One input of a model, whatever it is given as: what `Model.explain` takes."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeAlias, Union

import numpy as np
import torch
from torch import Tensor

from pipeline.core.errors import PipelineError
from pipeline.core.kinds import Kind
from pipeline.sharing.files import Shared
from pipeline.sharing.images import read_image
from pipeline.sharing.rows import read_row, unlike_training
from pipeline.sharing.texts import read_text

Given: TypeAlias = Union[Tensor, np.ndarray, Mapping[str, Any], str, "os.PathLike[str]"]


class Input(NamedTuple):
    """An input as the model has it, and as people read it.

    Attributes
    ----------
    x : Tensor (*input_shape)
        Normalised.
    raw : Tensor
        (features,) or (channels, height, width) before normalisation; of a text, where in the
        vocabulary its words are, (words,).
    names : tuple of str
        The features in plain words, or the words of a text; empty for images.
    values : tuple of float
        Of the features of a table, in their own units.
    notes, warnings : sequence of str
        How it was made, and in which way it is unlike the training data; sentences.
    """

    x: Tensor
    raw: Tensor
    names: tuple[str, ...] = ()
    values: tuple[float, ...] = ()
    notes: Sequence[str] = ()
    warnings: Sequence[str] = ()


def read_input(shared: Shared, given: Given) -> Input:
    """The input of model `shared` that is `given`.

    Raises
    ------
    PipelineError
        If the model takes other inputs, or not this one; says what would be right.
    """
    return _READERS[shared.kind](shared, given)


def _row(shared: Shared, given: Given) -> Input:
    facts, notes = shared.facts, list[str]()
    if isinstance(given, Mapping):
        raw, notes = read_row(given, facts)
    else:
        raw = _values(shared, given).float()
    pairs = zip(facts.scales, raw.tolist(), strict=True)
    values = tuple(scale.value(x) for scale, x in pairs)
    warnings = unlike_training(raw, facts)
    return Input(_normalised(shared, raw), raw, facts.plain_names, values, notes, warnings)


def _text(shared: Shared, given: Given) -> Input:
    if not isinstance(given, str):
        _refuse(shared, given)
    assert shared.embeddings is not None
    length = shared.input_shape[0]
    words, places, notes = read_text(given, shared.facts.vocabulary, length)
    return Input(shared.embeddings[places], places[: len(words)], words, notes=notes)


def _image(shared: Shared, given: Given) -> Input:
    ground, notes = shared.facts.ground, list[str]()
    if isinstance(given, str | os.PathLike):
        pixels, notes = read_image(Path(given), shared.input_shape, ground)
    else:
        values = _values(shared, given)
        pixels = values.float() if values.dtype.is_floating_point else values.float() / 255
        low, high = pixels.aminmax()
        if low < 0 or high > 1:
            raise PipelineError(
                f"{shared}: takes pixels in [0, 1], got {low:.3g} to {high:.3g}; what is "
                "normalised is for `senn`"
            )
    warnings = []
    if ground is not None:
        drawn, (least, most) = float(ground.drawn_on(pixels.unsqueeze(0))), ground.drawn
        if not least <= drawn <= most:
            warnings.append(
                f"{100 * drawn:.1f} % of the image is drawn; of training images it was "
                f"{100 * least:.1f} to {100 * most:.1f} %."
            )
    return Input(_normalised(shared, pixels), pixels, notes=notes, warnings=warnings)


_READERS: dict[Kind, Callable[[Shared, Given], Input]] = {
    "tables": _row,
    "texts": _text,
    "images": _image,
}
_TAKEN: dict[Kind, str] = {"tables": "values of features", "texts": "a text", "images": "images"}


def _values(shared: Shared, given: Given) -> Tensor:
    """Raw values of the right shape."""
    if isinstance(given, str | os.PathLike | Mapping):
        _refuse(shared, given)
    values = torch.as_tensor(given)
    if tuple(values.shape) != shared.input_shape:
        raise PipelineError(
            f"{shared}: takes one input of shape {shared.input_shape}, got {tuple(values.shape)}"
        )
    return values


def _refuse(shared: Shared, given: Given) -> NoReturn:
    if isinstance(given, Mapping):
        what = "values of features"
    elif isinstance(given, str | os.PathLike):
        what = f"the file {given}"
    else:
        what = f"a {type(given).__name__}"
    raise PipelineError(f"{shared}: takes {_TAKEN[shared.kind]}, not {what}")


def _normalised(shared: Shared, raw: Tensor) -> Tensor:
    mean, std = (torch.tensor(shared.about[key]) for key in ("mean", "std"))
    return (raw - mean) / std
