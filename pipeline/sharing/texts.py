"""A text as the input of a model, cleaned as the texts were that the model was trained on."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from pipeline.core.errors import PipelineError
from pipeline.data.texts import RESERVED, UNKNOWN, places_of, words_of

_NAMED = 10  # of unknown words, at most


class Text(NamedTuple):
    """The words that the model reads, where they are in its vocabulary, and what was done.

    `places` is (length,), filled up with `NO_WORD`; `notes` are sentences.
    """

    words: tuple[str, ...]
    places: Tensor
    notes: list[str]


def read_text(text: str, vocabulary: Sequence[str], length: int) -> Text:
    """The first words of `text`, at most `length`: lower-case letters, all else separates words.

    Raises
    ------
    PipelineError
        If it has no words, or none that is in the vocabulary.
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
    return Text(tuple(words), places, notes)


def _listed(words: Sequence[str]) -> str:
    """Each of `words` once, but not too many."""
    names = list(dict.fromkeys(words))
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
