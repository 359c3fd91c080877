"""What is wrong with a params file, one line per problem.

A line names the key, what is allowed, and the value: ``robust_reg: must be ≥ 0, got -1``.
"""

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError
from ruamel.yaml.error import MarkedYAMLError

Problem = tuple[str, str, Any]
"""Key in a section, what it must be, and its value."""

_FORMER = {"train": "compute"}  # keys of earlier versions, and where their values are now

_IN_WORDS = {
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be finite",
    "greater_than_equal": "must be ≥ {ge}",
    "greater_than": "must be > {gt}",
    "less_than_equal": "must be ≤ {le}",
    "less_than": "must be < {lt}",
    "tuple_type": "must be a list",
    "dict_type": "must be a section of keys and values",
    "model_type": "must be a section of keys and values",
    "model_attributes_type": "must be a section of keys and values",
}


def explain(error: Exception, model: type[BaseModel]) -> list[str]:
    """Why a file could not be read, parsed, or validated as `model`: one line per problem."""
    match error:
        case ValidationError():
            return [_explain(details, model) for details in error.errors()]
        case OSError():
            return [
                f"cannot be read: {error.strerror}. Run this in the root folder of the repository, "
                "with a params file in it (presets/ has some)."
            ]
        case MarkedYAMLError() if error.problem_mark:
            return [f"line {error.problem_mark.line + 1}: not valid YAML: {error.problem}"]
        case UnicodeDecodeError():
            return [f"not UTF-8 text: {error}"]
    return [f"not valid YAML: {' '.join(str(error).split())}"]


def did_you_mean(word: str, allowed: Iterable[str]) -> str:
    """``; did you mean lr?``, or nothing if no `allowed` word is close to `word`."""
    by_lowercase = {name.lower(): name for name in allowed}
    close = difflib.get_close_matches(word.lower(), list(by_lowercase), n=1)
    return f"; did you mean {by_lowercase[close[0]]}?" if close else ""


def raise_problems(problems: Iterable[Problem]) -> None:
    """Report all `problems`, each at its key, from within a pydantic validator.

    Raises
    ------
    ValidationError
        If there are any.
    """
    errors = [
        InitErrorDetails(
            type=PydanticCustomError("problem", "{words}", {"words": words}),
            loc=tuple(key.split(".")),
            input=value,
        )
        for key, words, value in problems
    ]
    if errors:
        raise ValidationError.from_exception_data("params", errors)


def _explain(details: ErrorDetails, model: type[BaseModel]) -> str:
    kind, value = details["type"], details["input"]
    context: Mapping[str, Any] = details.get("ctx", {})
    if not details["loc"]:
        return f"must be a file of keys and values, got {_shown(value)} (presets/ has some)"
    key, section = _key_and_section(details["loc"], model)
    match kind:
        case "missing":
            return f"{key}: is required"
        case "union_tag_not_found":
            return f"{key}.name: is required"
        case "extra_forbidden" | "invalid_key":
            allowed, unknown = list(section.model_fields), str(details["loc"][-1])
            hint = did_you_mean(_FORMER.get(unknown, unknown), allowed)
            return f"{key}: unknown key{hint or '; allowed: ' + ', '.join(allowed)}"
        case "union_tag_invalid":
            return _explain_choice(f"{key}.name", context["expected_tags"], value["name"])
        case "literal_error":
            return _explain_choice(key, context["expected"], value)
        case "value_error":
            return f"{key.removesuffix('.[key]')}: {context['error']}, got {_shown(value)}"
    bounds = {name: str(bound).removesuffix(".0") for name, bound in context.items()}
    words = _IN_WORDS[kind].format(**bounds) if kind in _IN_WORDS else details["msg"]
    return f"{key}: {words}, got {_shown(value)}"


def _explain_choice(key: str, expected: str, value: Any) -> str:
    allowed = re.findall(r"'([^']*)'", expected)  # pydantic quotes them: 'a', 'b' or 'c'
    *most, last = allowed
    words = f"{', '.join(most)} or {last}" if most else last
    hint = did_you_mean(value, allowed) if isinstance(value, str) else ""
    return f"{key}: must be {words}, got {_shown(value)}{hint}"


def _key_and_section(
    location: tuple[str | int, ...], model: type[BaseModel]
) -> tuple[str, type[BaseModel]]:
    """The key in the file that pydantic's `location` stands for, and the section it is in.

    Where a section's class is chosen by its name, the location has that name as an extra part. Only
    the models tell it from a key of the same name, so both are followed in parallel.
    """
    key = ""
    section: Any = model
    here: Any = model
    parts = iter(location)
    for part in parts:
        # An item of dict[name, section] or of a list, or unknown.
        if not hasattr(here, "model_fields"):
            key += f".{part}" if here is None or get_origin(here) is dict else f"[{part}]"
            here = (get_args(here) or [None])[-1]
            continue
        key += f".{part}"
        section = here
        field = section.model_fields.get(part)
        here = field.annotation if field else None
        if field and field.discriminator and (chosen := next(parts, None)):
            names = {
                name: choice
                for choice in get_args(field.annotation)
                for name in get_args(choice.model_fields[field.discriminator].annotation)
            }
            if chosen not in names:  # a `Problem` reported by an enclosing section
                key += f".{chosen}"
                break
            here = names[str(chosen)]
    return key.removeprefix("."), section


def _shown(value: Any) -> str:
    """`value` as in YAML (true, null, "text"), shortened to one line."""
    scalar = value is None or isinstance(value, str | bool)
    text = json.dumps(value, ensure_ascii=False) if scalar else str(value)
    return text if len(text) <= 80 else f"{text[:79]}…"
