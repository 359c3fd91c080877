"""docs/params-reference.md, from the models that validate params.yaml.

Keys, types and bounds are those of the models' JSON schema; what a key means is said by the
docstring of its section, in lines such as ``lr, beta : meaning``. ``python -m
documentation.parameters`` writes the page.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

from pipeline.core.errors import PipelineError
from pipeline.core.files import write_bytes
from pipeline.core.params import Params

PAGE = Path("docs/params-reference.md")
Schema: TypeAlias = dict[str, Any]

_TOP = """# Every key of params.yaml

*Made from [`pipeline/core/params.py`](../pipeline/core/params.py) by `make docs`; do not edit.*
[Parameters](parameters.md) explains what is worth changing, and
[`params.yaml`](../params.yaml) has the values of the default run. A key without a default must be
given, and an unknown key is an error.
"""
_HEAD = ["| key | allowed | default | meaning |", "| --- | --- | --- | --- |"]
_SIGNS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
_MEANING = re.compile(r"^(\w+(?:, \w+)*) : (.*(?:\n[ ]+.*)*)", re.MULTILINE)


def meanings(docstring: str) -> dict[str, str]:
    """What each key of a section means, by its docstring; and at ``""``, the rest of that."""
    words = {"": " ".join(_MEANING.sub("", docstring).split())}
    for keys, meaning in _MEANING.findall(docstring):
        words |= dict.fromkeys(keys.split(", "), " ".join(meaning.split()))
    return words


def allowed(schema: Schema) -> str:
    """Which values a key may have, in words."""
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    if "anyOf" in schema:
        choices = (allowed(one) for one in schema["anyOf"] if one.get("type") != "null")
        return " or ".join(choices)
    match schema.get("type"):
        case "array":
            items = schema.get("items") or schema["prefixItems"][0]
            count = f"{schema['maxItems']} " if "maxItems" in schema else ""
            return f"list of {count}{allowed(items).replace('number', 'numbers')}"
        case "integer" | "number" as number:
            bounds = [f"{sign} {schema[key]:.12g}" for key, sign in _SIGNS.items() if key in schema]
            words = "whole number" if number == "integer" else "number"
            return f"{words} {', '.join(bounds)}".strip()
        case "boolean":
            return "`true`, `false`"
        case "string":
            return "text"
    return "a section, see below"


def sections(key: str, schema: Schema, definitions: Schema) -> Iterator[tuple[str, Schema]]:
    """`schema` and all sections below it, each with the key that it stands at."""
    yield key, schema
    for name, field in schema["properties"].items():
        below = f"{key}.{name}".removeprefix(".")
        if "additionalProperties" in field:
            field, below = field["additionalProperties"], f"{below}.<name>"
        for choice in field.get("oneOf", [field]):
            if "$ref" in choice:
                section = definitions[choice["$ref"].removeprefix("#/$defs/")]
                chosen = section["properties"].get("name", {}).get("const")
                where = f"{below}, name: {chosen}" if chosen else below
                yield from sections(where, section, definitions)


def _row(name: str, field: Schema, meaning: str) -> str:
    default = field.get("default")
    shown = "" if default is None or isinstance(default, dict) else f"`{json.dumps(default)}`"
    cells = (f"`{name}`", allowed(field), shown.replace('"', ""), meaning)
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def page() -> str:
    """The whole page.

    Raises
    ------
    PipelineError
        If the docstring of a section does not say what a key means.
    """
    schema = Params.model_json_schema()
    parts = [_TOP]
    for key, section in sections("", schema, schema.get("$defs", {})):
        words = meanings(section["description"])
        fields = {n: field for n, field in section["properties"].items() if n != "name"}
        if missing := [name for name in fields if name not in words]:
            where = f"{key}.{missing[0]}".removeprefix(".")
            raise PipelineError(f"{where}: the docstring of its section does not say what it means")
        rows = [_row(name, field, words[name]) for name, field in fields.items()]
        table = "\n".join([*_HEAD, *rows]) if rows else "It has no other settings."
        parts.append(f"## {f'`{key}`' if key else 'The top level'}\n\n{words['']}\n\n{table}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    write_bytes(PAGE, page().encode())
