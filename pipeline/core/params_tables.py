"""Entries of `experiments` that stand for several: one experiment for each table of a collection.

An entry with the key `tables` has in it, by table, what is not the same for all. Its experiments
are called ``entry_table``, and every stage does all of them in one process.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pipeline.core.params_choices import DATASETS, collection_of
from pipeline.core.params_errors import Problem, did_you_mean, raise_problems


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

    content: Any
    _origins: Mapping[str, _Origin] = field(default_factory=dict)

    @classmethod
    def of(cls, content: Any) -> "Expansion":
        """Expand all entries that have `tables`, as far as they are sections."""
        if not isinstance(content, dict) or not isinstance(content.get("experiments"), dict):
            return cls(content)
        experiments: dict[Any, Any] = {}
        origins = {}
        for entry, shared in content["experiments"].items():
            if not (isinstance(shared, dict) and _are_sections(shared.get("tables"))):
                experiments[entry] = shared
                continue
            for table, own in shared["tables"].items():
                name, collection = f"{entry}_{table}", shared.get("dataset")
                dataset = f"{collection}/{table}" if isinstance(collection, str) else collection
                rest = {key: value for key, value in shared.items() if key != "tables"}
                experiments[name] = {**rest, "dataset": dataset, "entry": entry, **own}
                origins[name] = _Origin(str(entry), str(table), frozenset(own))
        return cls({**content, "experiments": experiments}, origins)

    def as_written(self, line: str) -> str:
        """`line`, which begins with the key of a problem, with that key as params.yaml has it."""
        key, colon, rest = line.partition(":")
        section, _, inner = key.partition(".")
        name, _, setting = inner.partition(".")
        if section != "experiments" or (origin := self._origins.get(name)) is None:
            return line
        place = [section, origin.entry]
        if re.split(r"[.\[]", setting)[0] in origin.own:
            place += ["tables", origin.table]
        return ".".join([*place, *filter(None, [setting])]) + colon + rest


def expanded(content: Any) -> Any:
    """`Expansion.content`, for validation.

    Raises
    ------
    ValidationError
        If an entry's `tables` are none of its dataset, or one has the name of another experiment.
    """
    raise_problems(_problems(content))
    return Expansion.of(content).content


def _problems(content: Any) -> Iterator[Problem]:
    experiments = content.get("experiments") if isinstance(content, dict) else None
    if not isinstance(experiments, dict):
        return
    for entry, shared in experiments.items():
        if not isinstance(shared, dict) or "tables" not in shared:
            continue
        tables, known = shared["tables"], _tables_of(shared.get("dataset"))
        key = f"experiments.{entry}.tables"
        if not known:
            words = f"must be a collection of tables ({', '.join(_COLLECTIONS)}), of some `tables`"
            yield f"experiments.{entry}.dataset", words, shared.get("dataset")
        elif not _are_sections(tables):
            yield key, f"must have a section for some of {', '.join(known)}", tables
        elif unknown := [table for table in tables if table not in known]:
            hint = did_you_mean(str(unknown[0]), known)
            yield key, f"must be some of {', '.join(known)}{hint}", unknown[0]
        elif taken := [name for table in tables if (name := f"{entry}_{table}") in experiments]:
            yield key, f"must not make a second {taken[0]}", taken[0]


def _are_sections(tables: Any) -> bool:
    is_filled = isinstance(tables, dict) and len(tables) > 0
    return is_filled and all(isinstance(own, dict) for own in tables.values())


def _tables_of(collection: Any) -> list[str]:
    of = [name.partition("/") for name in DATASETS]
    return [table for name, _, table in of if name == collection and table]


_COLLECTIONS = list(dict.fromkeys(collection_of(name) for name in DATASETS if "/" in name))
