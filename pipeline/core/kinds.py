"""The kinds of data there are; the shape of one input says which it is."""

from collections.abc import Sequence
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["tables", "texts", "images"]
KINDS: tuple[Kind, ...] = ("tables", "texts", "images")


def kind_of(input_shape: Sequence[int]) -> Kind:
    """What inputs of this shape are.

    (columns,) is a row of a table, (words, numbers of each word's embedding) a text, (channels,
    height, width) an image.
    """
    return KINDS[len(input_shape) - 1]
