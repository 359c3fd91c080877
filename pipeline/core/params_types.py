"""Types of values in params.yaml: sections, strict numbers, lists that are checked as a whole.

A check that pydantic lacks raises a ValueError that says what the value must be; key and value are
added by pipeline/core/params_errors.py.
"""

import re
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from pipeline.core.params_errors import Problem, raise_problems


class Section(BaseModel):
    """A section of params.yaml: immutable, strictly typed, unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        raise_problems(self._problems())
        return self

    def _problems(self) -> Iterable[Problem]:
        """Values that are valid by themselves but not together."""
        return ()


def _must(words: str, is_right: Callable[[Any], bool], when: Any = AfterValidator) -> Any:
    """A check of a value, after or before pydantic's; the error it raises says these `words`."""

    def check(value: Any) -> Any:
        if not is_right(value):
            raise ValueError(f"must {words}")
        return value

    return when(check)


def _is_pair(values: Any) -> bool:
    return isinstance(values, list | tuple) and len(values) == 2


def _is_probes(value: Any) -> bool:
    return value == "exact" or (type(value) is int and value >= 1)


def _matches(pattern: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


def _is_ascending(values: tuple[float, ...]) -> bool:
    return all(one < following for one, following in pairwise(values))


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    repeated = dict.fromkeys(value for value in values if values.count(value) > 1)
    if repeated:
        raise ValueError(f"must not repeat {', '.join(map(str, repeated))}")
    return values


def _stored_apart(lambdas: tuple[float, ...]) -> tuple[float, ...]:
    stored: dict[str, float] = {}
    for value in lambdas:
        if (other := stored.setdefault(f"{value:g}", value)) != value:
            raise ValueError(
                f"must differ in the first 6 digits ({other} and {value} would both be "
                f"stored as lambda={value:g})"
            )
    return lambdas


AnyList = Field(strict=False)  # strict pydantic takes only tuples for tuples; items stay strict
NotEmpty = _must("not be empty", bool)
Several = _must("have at least 2 values", lambda values: len(values) > 1)
Distinct = AfterValidator(_distinct)
Ascending = _must("be in ascending order, without repetitions", _is_ascending)
Pair = _must("be a list of 2 whole numbers", _is_pair, BeforeValidator)

Finite = Annotated[float, Field(allow_inf_nan=False)]
NonNegative = Annotated[Finite, Field(ge=0)]
Positive = Annotated[Finite, Field(gt=0)]
Probability = Annotated[Finite, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
EvenCount = Annotated[int, Field(ge=2), _must("be even", lambda value: value % 2 == 0)]
Anchors = Annotated[int, Field(ge=2)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Seeds = Annotated[tuple[Seed, ...], AnyList, NotEmpty, Distinct]
SeveralSeeds = Annotated[tuple[Seed, ...], AnyList, Several, Distinct]
Sizes = Annotated[tuple[Count, ...], AnyList]
SomeSizes = Annotated[Sizes, NotEmpty]
TwoSizes = Annotated[tuple[Count, Count], AnyList, Pair]
Counts = Annotated[SomeSizes, Ascending]
Levels = Annotated[tuple[Positive, ...], AnyList, NotEmpty, Ascending]
LambdaGrid = Annotated[tuple[NonNegative, ...], AnyList, Distinct, AfterValidator(_stored_apart)]
SeveralLambdas = Annotated[
    tuple[Positive, ...], AnyList, Several, Distinct, AfterValidator(_stored_apart)
]
Reduction = Literal["batch", "example"]
Reductions = Annotated[tuple[Reduction, ...], AnyList, NotEmpty, Distinct]
Select = Literal["best_validation_accuracy", "best_validation_loss", "last"]
ExperimentName = Annotated[
    str,
    _must(
        "be named with lowercase letters, digits and _, starting with a letter",
        _matches(r"[a-z][a-z0-9_]*"),
        BeforeValidator,
    ),
]
ExperimentNames = Annotated[tuple[ExperimentName, ...], AnyList, Distinct]
Device = Annotated[
    str,
    _must("be auto, cpu, cuda or cuda:N", _matches(r"auto|cpu|cuda(:\d+)?"), BeforeValidator),
]
Probes = Annotated[
    Literal["exact"] | int, _must("be exact or a whole number ≥ 1", _is_probes, BeforeValidator)
]
