"""Entries of `experiments` that stand for several: one experiment for each table of a collection.

An entry with the key `tables` has in it, by table, what is not the same for all. Its experiments
are called ``entry_table``, and every stage does all of them in one process.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class _Origin(NamedTuple):
    """Where an experiment is in params.yaml: its entry, its table, the keys of the table's own."""

    entry: str
    table: str
    own: frozenset[str]


@dataclass(frozen=True)
class Expansion:
    """What params.yaml contains, with an experiment for each table.

    Attributes
    ----------
    content : the same otherwise; whatever is not as it should be is left for validation.
    """

    content: Any = None
    _origins: Mapping[str, _Origin] = field(default_factory=dict)

    @classmethod
    def of(cls, content: Any) -> "Expansion":
        """Expand all entries that have `tables`."""
        if not isinstance(content, dict) or not isinstance(content.get("experiments"), dict):
            return cls(content)
        experiments: dict[Any, Any] = {}
        origins = {}
        for entry, shared in content["experiments"].items():
            if not isinstance(shared, dict) or not _is_table(shared.get("tables")):
                experiments[entry] = shared
                continue
            rest = {key: value for key, value in shared.items() if key != "tables"}
            for table, own in shared["tables"].items():
                name = f"{entry}_{table}"
                dataset = f"{shared.get('dataset')}/{table}"
                experiments[name] = {**rest, "dataset": dataset, **own}
                origins[name] = _Origin(str(entry), str(table), frozenset(own))
        return cls({**content, "experiments": experiments}, origins)

    @property
    def entries(self) -> dict[str, str]:
        """The entry of every experiment that is one of several."""
        return {name: origin.entry for name, origin in self._origins.items()}

    def as_written(self, line: str) -> str:
        """`line`, which begins with the key of a problem, with that key as params.yaml has it."""
        key, colon, rest = line.partition(":")
        section, _, inner = key.partition(".")
        name, _, setting = inner.partition(".")
        if section != "experiments" or (origin := self._origins.get(name)) is None:
            return line
        place = [section, origin.entry]
        if re.split(r"[.\[]", setting)[0] in (*origin.own, "dataset"):
            place += ["tables", origin.table]
        return ".".join([*place, *filter(None, [setting])]) + colon + rest


def _is_table(tables: Any) -> bool:
    """Whether it is a section of sections."""
    return isinstance(tables, dict) and all(isinstance(own, dict) for own in tables.values())
