"""The cell store: to trained cells what a compiler cache is to objects.

Finished cells, and what was measured of them, are kept outside the workspace under their
fingerprint (`fingerprint`), so that a new λ or seed trains and measures only what is new, and a
killed run goes on where it was. Deleting the store changes nothing but time. ``SENN_CELL_STORE``
names its folder, or ``off``; ``SENN_CELL_STORE_GB`` its size.
"""

import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from torch import Tensor

from pipeline.core.errors import PipelineError
from pipeline.core.files import File, write_bytes
from pipeline.core.tensors import read_tensors, to_bytes

_DEFAULT_GB = "5"
_CELL, _MEASURED, _CHECKPOINT = ".cell", ".measured", ".checkpoint"
_DIGEST = hashlib.sha256().digest_size
_UNFINISHED = "unfinished"
# Cells, what was measured of them, unfinished banks, each while it is written, and cells and banks
# as earlier versions named them. Whatever else is in the folder is not ours to remove.
_HEX = "[0-9a-f]{64}"
_OURS = re.compile(
    rf"\.?({_HEX}(\{_CELL}|\{_MEASURED})|({_UNFINISHED}|{_HEX})-{_HEX}(\{_CHECKPOINT}|\.safetensors))"
    r"(\.\w+\.part)?"
)
# An unfinished bank is written after every epoch: one left alone for a day is abandoned.
_IN_USE_SECONDS = 24 * 3600


@dataclass(frozen=True)
class CellStore:
    """A folder of files named by their fingerprint, with a SHA-256 in front of their content.

    `folder` is None for a store that is off: nothing is found and nothing kept. `limit` is in
    bytes; beyond it the least recently used files go. Safe with several processes at once: files
    appear whole, and one that another process removes meanwhile is one that was not found.
    """

    folder: Path | None
    limit: int

    @classmethod
    def from_environment(cls) -> "CellStore":
        """The user's store: ``SENN_CELL_STORE``, by default ``senn/cells`` in the user's cache.

        Raises
        ------
        PipelineError
            If ``SENN_CELL_STORE_GB`` is not a positive number, or there is no such home.
        """
        place = os.environ.get("SENN_CELL_STORE", "")
        size = os.environ.get("SENN_CELL_STORE_GB") or _DEFAULT_GB
        try:
            limit = int(float(size) * 1e9)
        except (ValueError, OverflowError):
            limit = 0
        if limit <= 0:
            raise PipelineError(
                f"SENN_CELL_STORE_GB must be a number > 0 of gigabytes, got {size!r}"
            )
        if place.lower() == "off":
            return cls(None, limit)
        if not place:
            cache_home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
            place = f"{cache_home}/senn/cells"
        try:
            return cls(Path(place).expanduser(), limit)
        except RuntimeError as error:
            raise PipelineError(
                f"SENN_CELL_STORE: {place} is in no home that there is. "
                "Set it to a folder for trained cells, or to off."
            ) from error

    def fetch(self, fingerprint: str, destination: Path) -> bool:
        """Copy the cell with `fingerprint` to `destination`; False if it is not there, or damaged.

        A damaged file is removed: the cell is trained again.

        Raises
        ------
        PipelineError
            If `destination` cannot be written.
        """
        content = self._read(fingerprint, _CELL)
        if content is None:
            return False
        write_bytes(destination, content)
        return True

    def keep(self, fingerprint: str, cell: bytes) -> bool:
        """Store the content of a finished cell's file; False if it is there already.

        A store that cannot be written costs time later, not this run.
        """
        if self._read(fingerprint, _CELL) == cell:
            return False
        self._write(fingerprint, _CELL, cell)
        return True

    def measured(self, fingerprint: str) -> Any:
        """What was measured under `fingerprint`, as JSON has it; None if it is not there."""
        content = self._read(fingerprint, _MEASURED)
        return None if content is None else json.loads(content)

    def keep_measured(self, fingerprint: str, value: Any) -> None:
        """Store what was measured, as `keep` does a cell; `value` is what JSON can hold."""
        self._write(fingerprint, _MEASURED, json.dumps(value).encode())

    def shrink(self) -> None:
        """Remove what was used least recently, beyond the limit; but not what was used last."""
        if self.folder is None:
            return
        try:
            files = sorted(self._files())
            idle = [file for file in files if file[0]]
            total = sum(size for is_idle, _, size, _ in files if not is_idle)
            for place, (_, _, size, path) in enumerate(idle):
                total += size
                if place > 0 and total > self.limit:
                    with suppress(FileNotFoundError):
                        os.unlink(path)
        except OSError as error:
            _complain(self.folder, error)

    def _read(self, fingerprint: str, suffix: str) -> bytes | None:
        """The content of a whole entry; damaged ones are removed."""
        if self.folder is None:
            return None
        entry = self.folder / f"{fingerprint}{suffix}"
        try:
            stored = entry.read_bytes()
        except OSError:  # there is none, or it is not readable
            return None
        content = _content(fingerprint, stored)
        with suppress(OSError):  # another process may have removed it meanwhile
            if content is None:
                entry.unlink()
            else:
                os.utime(entry)  # used now
        return content

    def _write(self, fingerprint: str, suffix: str, content: bytes) -> None:
        if self.folder is not None:
            _put(self.folder / f"{fingerprint}{suffix}", fingerprint, content)

    def checkpoint(self, name: str) -> "Checkpoint":
        """Where the bank called `name`, 64 hexadecimal digits, keeps its unfinished state."""
        if self.folder is None:
            return Checkpoint(None)
        return Checkpoint(self.folder / f"{_UNFINISHED}-{name}{_CHECKPOINT}")

    def _files(self) -> Iterator[tuple[bool, float, int, str]]:
        """Of every file of ours: whether it is idle, seconds since it was used, bytes, path.

        Those that another process may be about to finish are not.
        """
        assert self.folder is not None
        now = time.time()
        with os.scandir(self.folder) as files:
            for file in files:
                if _OURS.fullmatch(file.name):
                    with suppress(FileNotFoundError):
                        status = file.stat()
                        age = now - status.st_mtime
                        unfinished = file.name.startswith((_UNFINISHED, "."))
                        is_idle = not unfinished or age >= _IN_USE_SECONDS
                        yield is_idle, age, status.st_size, file.path


@dataclass(frozen=True)
class Checkpoint:
    """The state of a bank after its last whole epoch; `path` None: not kept."""

    path: Path | None

    def save(self, tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
        """Replace the state. Where it cannot be written, an interrupted bank starts anew."""
        if self.path is not None:
            _put(self.path, self.path.name, to_bytes(tensors, metadata))

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The state as it was saved, or None if there is none, or it was damaged since."""
        if self.path is None:
            return None
        try:
            stored = self.path.read_bytes()
        except OSError:
            return None
        content = _content(self.path.name, stored)
        return None if content is None else read_tensors(File(self.path, content))

    def remove(self) -> None:
        """Forget the state: the bank is finished."""
        if self.path is not None:
            with suppress(OSError):
                self.path.unlink()


def _content(name: str, stored: bytes) -> bytes | None:
    """What `_put` wrote under `name`; None if it is damaged, or another's."""
    digest, content = stored[:_DIGEST], stored[_DIGEST:]
    return content if digest == _digest(name, content) else None


def _put(path: Path, name: str, content: bytes) -> None:
    try:
        write_bytes(path, _digest(name, content) + content)
    except PipelineError as error:
        _complain(path.parent, error)


def _digest(fingerprint: str, content: bytes) -> bytes:
    """SHA-256 of both: a file that was renamed or damaged is not what it says."""
    return hashlib.sha256(fingerprint.encode() + content).digest()


def _complain(folder: Path, error: Exception) -> None:
    cause = error.__cause__ or error
    reason = cause.strerror if isinstance(cause, OSError) else cause
    _say_once(f"cell store {folder}: {reason}; not all that is computed is kept")


@cache
def _say_once(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
