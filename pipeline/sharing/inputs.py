"""One input of a model, whatever it is given as: what `Model.explain` takes."""

import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeAlias, Union

import numpy as np
import torch
from torch import Tensor

from pipeline.core.errors import PipelineError
from pipeline.core.kinds import Kind
from pipeline.core.params_errors import did_you_mean
from pipeline.data.texts import RESERVED, UNKNOWN, places_of, words_of
from pipeline.sharing.facts import Facts
from pipeline.sharing.files import Shared
from pipeline.sharing.images import read_image

Given: TypeAlias = Union[Tensor, np.ndarray, Mapping[str, Any], str, "os.PathLike[str]"]

_TOLERANCE = 1e-6  # of float32, for values at the end of a range
_YES_OR_NO = {"yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}
_NAMED = 10  # of unknown words, at most


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


def read_row(given: Mapping[str, float | str | bool], facts: Facts) -> tuple[Tensor, list[str]]:
    """The raw row (features,) with the `given` values, and notes on how it was filled in.

    Features go by the names of the columns or by their plain names, whatever the case; values are
    in the features' own units (`Facts.scales`). Other features are `Facts.usual`, except that an
    indicator is 0 if no training row has it together with one that is given as 1.
    """
    values = torch.tensor(facts.usual)
    seen: dict[int, str] = {}
    for name, value in given.items():
        column = _column(name, facts)
        if column in seen:
            raise PipelineError(f"{name}: is the same feature as {seen[column]}; give it once")
        seen[column] = name
        try:
            number = float(_YES_OR_NO.get(str(value).lower(), value))
            if not math.isfinite(number):
                raise ValueError("must be finite")
            values[column] = facts.scales[column].scaled(number)
        except (TypeError, ValueError) as error:
            words = str(error) if str(error).startswith("must") else "must be a number"
            raise PipelineError(f"{name}: {words}, got {value}") from error
    left = [column for column in range(len(values)) if column not in seen]
    notes = []
    for pair in facts.never_together:
        for one, other in (pair, pair[::-1]):
            if one in seen and other in left and values[one] == values[other] == 1:
                values[other] = 0
                name, given_one = facts.plain_names[other], facts.plain_names[one]
                notes.append(f"{name} is usually 1, but no training row has it with {given_one}.")
    return values, [_about(left, values, facts), *notes] if left else []


def _about(left: list[int], values: Tensor, facts: Facts) -> str:
    """What the features are that were `left` out."""
    texts = [f"{facts.scales[c].value(float(values[c])):.4g}" for c in left]
    named = [
        f"{facts.plain_names[c]} is {text}"
        for c, text in zip(left, texts, strict=True)
        if text != "0"
    ]
    if len(named) < len(left):
        named.append("the others are 0" if named else "all are 0")
    return f"Not given, so as usual in training: {', '.join(named)}."


def _column(name: str, facts: Facts) -> int:
    keys = {_key(n): c for c, n in enumerate(facts.plain_names)}
    keys |= {_key(n): c for c, n in enumerate(facts.feature_names)}
    if _key(name) not in keys:
        known = facts.feature_names
        hint = did_you_mean(name, (*known, *facts.plain_names)) or f"; has {', '.join(known)}"
        raise PipelineError(f"{name}: is no feature{hint}")
    return keys[_key(name)]


def _key(name: str) -> str:
    return re.sub(r"[\W_]+", " ", name).strip().lower()


def unlike_training(values: Tensor, facts: Facts) -> list[str]:
    """In which way raw `values` (features,) are unlike every training row, a sentence each."""
    sentences = []
    for name, x, scale, (low, high) in zip(
        facts.plain_names, values.tolist(), facts.scales, facts.feature_range, strict=True
    ):
        if not low - _TOLERANCE <= x <= high + _TOLERANCE:
            ends = [f"{scale.value(end):.4g}" for end in (low, high)]
            seen = f"always {ends[0]}" if low == high else f"from {ends[0]} to {ends[1]}"
            sentences.append(f"{name} is {scale.value(x):.4g}; in training it was {seen}.")
    for first, second in facts.never_together:
        if values[first] == values[second] == 1:
            pair = f"“{facts.plain_names[first]}” and “{facts.plain_names[second]}”"
            sentences.append(f"No training example is both {pair}.")
    return sentences


def read_text(
    text: str, vocabulary: Sequence[str], length: int
) -> tuple[tuple[str, ...], Tensor, list[str]]:
    """The first `length` words of `text`, cleaned as the training texts were; places; notes.

    Places are where the words are in the vocabulary, (length,), filled up with `NO_WORD`.
    """
    every = words_of(text)
    if not every:
        raise PipelineError(
            f"the text {text[:40]!r} has no words: write some in the letters a to z; all other "
            "characters only separate words"
        )
    words = every[:length]
    places = torch.from_numpy(places_of([words], vocabulary, length)[0])
    unknown = [
        word for word, place in zip(words, places.tolist(), strict=False) if place == UNKNOWN
    ]
    known = vocabulary[len(RESERVED) :]
    if len(unknown) == len(words):
        raise PipelineError(
            f"the model knows none of the words {_listed(unknown)}; it knows {len(known):,} "
            f"words, such as {', '.join(known[:_NAMED])}"
        )
    notes = []
    if unknown:
        notes.append(f"Unknown words, which the model does not tell apart: {_listed(unknown)}.")
    if len(every) > length:
        notes.append(
            f"The text was cut: the model reads the first {length} of its {len(every):,} words."
        )
    return tuple(words), places, notes


def _listed(words: Sequence[str]) -> str:
    """Each of `words` once, but not too many."""
    names = list(dict.fromkeys(words))
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
