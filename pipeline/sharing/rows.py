"""A row of a table, given by the names of its features, as the input of a model."""

import math
import re
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from pipeline.core.errors import PipelineError
from pipeline.core.params_errors import did_you_mean
from pipeline.sharing.facts import Facts

_TOLERANCE = 1e-6  # of float32, for values at the end of a range
_YES_OR_NO = {"yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}


class Row(NamedTuple):
    """Raw values (features,) as a model has them, and as sentences what was added to them."""

    values: Tensor
    notes: list[str]


def read_row(given: Mapping[str, float | str | bool], facts: Facts) -> Row:
    """The row that has the `given` values; those of other features are `Facts.usual`.

    But an indicator is 0 if no training row has it together with one that is given as 1.

    Features go by the names of the columns or by their plain names, whatever the case; values are
    in the features' own units (`Facts.scales`).

    Raises
    ------
    PipelineError
        If a feature does not exist or is given twice, or a value is no number or cannot be.
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
    return Row(values, [_about(left, values, facts), *notes] if left else [])


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
