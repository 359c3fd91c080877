"""Kinds of values in params.yaml: sections, strict numbers, lists that are checked as a whole.

Every check raises a ValueError that says what the value must be; the value found is added to it by
pipeline/core/params_errors.py.
"""

import re
from collections.abc import Iterable
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
        """What does not fit together, though every value is right by itself."""
        return ()


def _not_empty(values: Any) -> Any:
    if not values:
        raise ValueError("must not be empty")
    return values


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


def _several(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(values) < 2:
        raise ValueError("must be a list of at least 2")
    return values


def _ascending(values: tuple[float, ...]) -> tuple[float, ...]:
    if any(one >= following for one, following in pairwise(values)):
        raise ValueError("must be in ascending order, none twice")
    return values


def _pair(values: Any) -> Any:
    if not isinstance(values, list | tuple) or len(values) != 2:
        raise ValueError("must be a list of 2 whole numbers")
    return values


def _device(value: Any) -> Any:
    if not isinstance(value, str) or not re.fullmatch(r"auto|cpu|cuda(:\d+)?", value):
        raise ValueError("must be auto, cpu, cuda or cuda:N")
    return value


def _probes(value: Any) -> Any:
    if value != "exact" and (type(value) is not int or value < 1):
        raise ValueError("must be exact or a whole number ≥ 1")
    return value


def _experiment_name(value: Any) -> Any:
    if not isinstance(value, str) or not re.fullmatch(r"[a-z][a-z0-9_]*", value):
        raise ValueError(
            "an experiment's name must be lowercase letters, digits and _, starting with a letter"
        )
    return value


AnyList = Field(strict=False)  # strict pydantic takes tuples only; the items stay strict
NotEmpty = AfterValidator(_not_empty)
Distinct = AfterValidator(_distinct)

Finite = Annotated[float, Field(allow_inf_nan=False)]
NonNegative = Annotated[Finite, Field(ge=0)]
Positive = Annotated[Finite, Field(gt=0)]
Probability = Annotated[Finite, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Anchors = Annotated[int, Field(ge=2)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Seeds = Annotated[tuple[Seed, ...], AnyList, NotEmpty, Distinct]
SeveralSeeds = Annotated[Seeds, AfterValidator(_several)]
Sizes = Annotated[tuple[Count, ...], AnyList]
SomeSizes = Annotated[Sizes, NotEmpty]
TwoSizes = Annotated[tuple[Count, Count], AnyList, BeforeValidator(_pair)]
Counts = Annotated[SomeSizes, AfterValidator(_ascending)]
Levels = Annotated[tuple[Positive, ...], AnyList, NotEmpty, AfterValidator(_ascending)]
LambdaGrid = Annotated[tuple[NonNegative, ...], AnyList, Distinct, AfterValidator(_stored_apart)]
SeveralLambdas = Annotated[
    tuple[Positive, ...],
    AnyList,
    Distinct,
    AfterValidator(_stored_apart),
    AfterValidator(_several),
]
Reduction = Literal["batch", "example"]
Reductions = Annotated[tuple[Reduction, ...], AnyList, NotEmpty, Distinct]
ExperimentName = Annotated[str, BeforeValidator(_experiment_name)]
Device = Annotated[str, BeforeValidator(_device)]
Probes = Annotated[Literal["exact"] | int, BeforeValidator(_probes)]
