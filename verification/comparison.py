"""Compare the results of a rerun with the committed ones, by bytes and by numbers."""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import pandas as pd
import safetensors.numpy

from verification.workspace import Copy

SAME, OTHER, MISSING, NEW = "same", "differs", "missing", "new"
METADATA = "same*"  # the same weights; only the metadata differ, which identify the code
CLAIMS = "reports/claims.json"
OF_MODELS = ("reports/cells", "reports/lambda")  # tables of models
LEARNED = "accuracy, not collapsed"


@dataclass(frozen=True)
class Difference:
    """A committed value of a metric, and the new one."""

    metric: str
    committed: Any
    new: Any

    def __str__(self) -> str:
        text = f"{self.metric}: committed {_short(self.committed)}, here {_short(self.new)}"
        return text + (f", {self.size:.3g} apart" if self.size is not None else "")

    @property
    def size(self) -> float | None:
        """How far apart two numbers are; None for other values."""
        pair = self.committed, self.new
        if all(isinstance(value, int | float) and value == value for value in pair):
            return abs(float(self.new) - float(self.committed))
        return None


@dataclass(frozen=True)
class Finding:
    """How one result compares; a CSV or JSON file has `differences`, the largest per metric."""

    path: str
    state: str
    differences: tuple[Difference, ...] = ()

    @property
    def same(self) -> bool:
        """Whether the result is the committed one."""
        return self.state in (SAME, METADATA)

    def matters(self, tolerance: float) -> bool:
        """Whether it is missing, a verdict has changed, or an accuracy is off by over `tolerance`.

        In tables of models those count that had not collapsed: where others end, rounding decides.
        """
        path = PurePosixPath(self.path)
        if self.state in (MISSING, NEW):
            return self.state == MISSING or path.suffix in (".json", ".csv")
        if self.path == CLAIMS:
            return bool(self.differences)
        if str(path.parent) not in OF_MODELS:
            return False
        counted = [d for d in self.differences if d.metric in (LEARNED, "rows", "column accuracy")]
        return any(d.size is None or d.size > tolerance for d in counted)


def compare(copy: Copy) -> list[Finding]:
    """Compare all outs of all stages in `copy` with the committed ones, file by file.

    A folder that is in DVC's cache and not in Git has one committed digest, so it is one result.
    """
    committed, new = copy.locks()
    findings: list[Finding] = []
    for path in sorted({*committed, *new}):
        files: list[Finding] = []
        if path.startswith("reports/"):
            files += _files(copy.committed(path), copy.present(path))
        findings += files or [_kept_by_dvc(copy, path, committed.get(path), new.get(path))]
    return findings


def _files(before: dict[str, bytes], after: dict[str, bytes]) -> Iterator[Finding]:
    for path in sorted({*before, *after}):
        if path not in after:
            yield Finding(path, MISSING)
        elif path not in before:
            yield Finding(path, NEW)
        elif before[path] == after[path]:
            yield Finding(path, SAME)
        else:
            yield Finding(path, OTHER, tuple(differences(path, before[path], after[path])))


def differences(path: str, before: bytes, after: bytes) -> Iterator[Difference]:
    """The largest difference of each metric that differs in a CSV or JSON file.

    Of accuracies also the largest of models that had not collapsed, as `LEARNED`.
    """
    match PurePosixPath(path).suffix:
        case ".json":
            old, new = _leaves(json.loads(before)), _leaves(json.loads(after))
            for key in {**old, **new}:
                if old.get(key) != new.get(key):
                    yield Difference(key, old.get(key), new.get(key))
        case ".csv":
            yield from _table_differences(_table(before), _table(after))


def _table_differences(old: pd.DataFrame, new: pd.DataFrame) -> Iterator[Difference]:
    if len(old) != len(new):
        yield Difference("rows", len(old), len(new))
        return
    for column in dict.fromkeys([*old.columns, *new.columns]):
        if column not in old or column not in new:
            yield Difference(f"column {column}", column in old, column in new)
            continue
        yield from _largest(column, old[column], new[column])
        if column == "accuracy" and "collapsed" in old:
            learned = old["collapsed"] == 0
            yield from _largest(LEARNED, old.loc[learned, column], new.loc[learned, column])


def _largest(name: str, old: pd.Series, new: pd.Series) -> Iterator[Difference]:
    pairs = [
        Difference(name, a, b)
        for a, b in zip(old.tolist(), new.tolist(), strict=True)
        if a != b and not (a != a and b != b)
    ]
    if pairs:
        yield max(pairs, key=lambda pair: float("inf") if pair.size is None else pair.size)


def _kept_by_dvc(copy: Copy, path: str, before: str | None, after: str | None) -> Finding:
    if before == after:
        return Finding(path, SAME)
    if before is None or after is None:
        return Finding(path, NEW if before is None else MISSING)
    return Finding(path, METADATA if _same_weights(copy, before, after) else OTHER)


def _same_weights(copy: Copy, before: str, after: str) -> bool:
    """Whether two folders have files with the same names and tensors; False if one is missing."""
    listings = [copy.cached(md5) for md5 in (before, after)]
    if None in listings:
        return False
    old, new = ({f["relpath"]: f["md5"] for f in json.loads(text or b"[]")} for text in listings)
    return old.keys() == new.keys() and all(
        _same_tensors(copy.cached(old[name]), copy.cached(new[name]))
        for name in old
        if old[name] != new[name]
    )


def _same_tensors(before: bytes | None, after: bytes | None) -> bool:
    if before is None or after is None:
        return False
    old, new = safetensors.numpy.load(before), safetensors.numpy.load(after)
    return old.keys() == new.keys() and all(
        old[key].dtype == new[key].dtype and old[key].tobytes() == new[key].tobytes() for key in old
    )


def _table(content: bytes) -> pd.DataFrame:
    return pd.read_csv(io.BytesIO(content))


def _leaves(value: Any, prefix: str = "") -> dict[str, Any]:
    """Values of a JSON document by dotted key."""
    if not isinstance(value, dict):
        return {prefix: value}
    leaves: dict[str, Any] = {}
    for key, inner in value.items():
        leaves |= _leaves(inner, f"{prefix}.{key}" if prefix else key)
    return leaves


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
