"""Entries of `experiments` that stand for several: one experiment for each table of a collection.

An entry with the key `tables` has in it, by table, what is not the same for all. Its experiments
are called ``entry_table``, and every stage does all of them in one process.
"""

import re
from collections.abc import Iterator
from typing import Any

from pipeline.core.params_choices import DATASETS, collection_of
from pipeline.core.params_errors import Problem, did_you_mean, raise_problems


def expanded(content: Any) -> Any:
    """What params.yaml contains, with an experiment for each table in place of their entry.

    Whatever else is not as it should be is left for validation.

    Raises
    ------
    ValidationError
        If an entry's `tables` are none of its dataset, or one has the name of another experiment.
    """
    raise_problems(_problems(content))
    experiments: dict[Any, Any] = {}
    for entry, shared in _entries(content).items():
        if not _has_tables(shared):
            experiments[entry] = shared
            continue
        rest = {key: value for key, value in shared.items() if key != "tables"}
        for table, own in shared["tables"].items():
            dataset = f"{shared['dataset']}/{table}"
            experiments[f"{entry}_{table}"] = {**rest, "dataset": dataset, "entry": entry, **own}
    return {**content, "experiments": experiments} if experiments else content


def as_written(content: Any, line: str) -> str:
    """`line`, which begins with the key of a problem, with that key as params.yaml has it."""
    key, colon, rest = line.partition(":")
    section, _, inner = key.partition(".")
    name, _, setting = inner.partition(".")
    for entry, shared in _entries(content).items():
        for table, own in shared["tables"].items() if _has_tables(shared) else ():
            if (section, name) == ("experiments", f"{entry}_{table}"):
                place = [section, str(entry)]
                if re.split(r"[.\[]", setting)[0] in own:
                    place += ["tables", str(table)]
                return ".".join([*place, *filter(None, [setting])]) + colon + rest
    return line


def _problems(content: Any) -> Iterator[Problem]:
    experiments = _entries(content)
    for entry, shared in experiments.items():
        if not isinstance(shared, dict) or "tables" not in shared:
            continue
        tables, known = shared["tables"], _tables_of(shared.get("dataset"))
        key = f"experiments.{entry}.tables"
        if not known:
            words = f"must be a collection of tables ({', '.join(_COLLECTIONS)}), of some `tables`"
            yield f"experiments.{entry}.dataset", words, shared.get("dataset")
        elif not _has_tables(shared):
            yield key, f"must have a section for some of {', '.join(known)}", tables
        elif unknown := [table for table in tables if table not in known]:
            hint = did_you_mean(str(unknown[0]), known)
            yield key, f"must be some of {', '.join(known)}{hint}", unknown[0]
        elif taken := [name for table in tables if (name := f"{entry}_{table}") in experiments]:
            yield key, f"must not make a second {taken[0]}", taken[0]


def _entries(content: Any) -> dict[Any, Any]:
    """Section `experiments` of `content`, if it is one."""
    experiments = content.get("experiments") if isinstance(content, dict) else None
    return experiments if isinstance(experiments, dict) else {}


def _has_tables(shared: Any) -> bool:
    """Whether an entry has sections for tables."""
    tables = shared.get("tables") if isinstance(shared, dict) else None
    sections = list(tables.values()) if isinstance(tables, dict) else []
    return bool(sections) and all(isinstance(own, dict) for own in sections)


def _tables_of(collection: Any) -> list[str]:
    of = [name.partition("/") for name in DATASETS]
    return [table for name, _, table in of if name == collection and table]


_COLLECTIONS = list(dict.fromkeys(collection_of(name) for name in DATASETS if "/" in name))
