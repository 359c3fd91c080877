"""Text without spaces, and where its words end."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.core.errors import PipelineError

Words: TypeAlias = Sequence[str]
ALPHABET = "abcdefghijklmnopqrstuvwxyz"


class Unspaced(NamedTuple):
    """A text whose spaces were removed.

    Attributes
    ----------
    characters : (T,), int64, places in `ALPHABET`.
    ends : (T,), bool, whether a word ends with this character.
    """

    characters: Tensor
    ends: Tensor


def unspaced(words: Words) -> Unspaced:
    """Join the words of a text, of letters from a to z.

    Raises
    ------
    PipelineError
        If there is another character.
    """
    places = [ALPHABET.find(character) for word in words for character in word]
    if -1 in places:
        strange = sorted({*"".join(words)} - {*ALPHABET})
        raise PipelineError(
            f"the tokenizer knows the letters a to z, the texts have {' '.join(strange)}, too"
        )
    ends = torch.zeros(len(places), dtype=torch.bool)
    ends[torch.tensor([len(word) for word in words], dtype=torch.int64).cumsum(0) - 1] = True
    return Unspaced(torch.tensor(places, dtype=torch.int64), ends)


def windows(texts: Iterable[Unspaced], size: int) -> Unspaced:
    """All texts one after another, in pieces (N, size); a rest is left out."""
    characters, ends = (torch.cat(parts) for parts in zip(*texts, strict=True))
    count = len(characters) // size
    return Unspaced(*(part[: count * size].view(count, size) for part in (characters, ends)))


def around(text: Unspaced, place: int, size: int) -> Tensor | None:
    """The `size` characters around the gap behind `place`, as many on either side.

    None where the text is too short on one of them.
    """
    first = place + 1 - size // 2
    if first < 0 or first + size > len(text.characters):
        return None
    return text.characters[first : first + size]


def encoded(texts: Sequence[Tensor]) -> Tensor:
    """One-hot characters (N, T, 26) of texts of any length; a shorter one ends with zeros."""
    padded = torch.nn.utils.rnn.pad_sequence(list(texts), batch_first=True, padding_value=-1)
    return F.one_hot(padded + 1, len(ALPHABET) + 1)[..., 1:].float()
