"""The cell store: to trained cells what a compiler cache is to objects.

Finished cells are kept outside the workspace under their fingerprint (`fingerprint`), so that a
new λ or seed trains only what is new, and a killed run goes on where it was. Deleting the store
changes nothing but time. ``SENN_CELL_STORE`` names its folder, or ``off``; ``SENN_CELL_STORE_GB``
its size.
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

import torch
from torch import Tensor

from pipeline.core.errors import PipelineError
from pipeline.core.files import atomic_path
from pipeline.core.tensors import read_tensors, write_tensors

_DEFAULT_GB = "5"
_SUFFIX = ".safetensors"
_UNFINISHED = "unfinished"
# Cells, unfinished banks, and either while it is written. Whatever else is in the folder is not
# ours to remove.
_OURS = re.compile(rf"\.?([0-9a-f]{{64}}|{_UNFINISHED})-[0-9a-f]{{64}}\{_SUFFIX}(\.\w+\.part)?")
# An unfinished bank is written after every epoch: one left alone for a day is nobody's any more.
_IN_USE_SECONDS = 24 * 3600


@dataclass(frozen=True)
class CellStore:
    """A folder of files ``<fingerprint>-<SHA-256 of fingerprint and content>.safetensors``.

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
        if self.folder is None:
            return False
        for entry in sorted(self.folder.glob(f"{fingerprint}-*{_SUFFIX}")):
            try:
                content = entry.read_bytes()
            except OSError:  # removed by another process, or not readable
                continue
            if entry.name == _entry_name(fingerprint, content):
                with atomic_path(destination) as temporary:
                    temporary.write_bytes(content)
                with suppress(OSError):
                    os.utime(entry)  # used now
                return True
            with suppress(OSError):
                entry.unlink()
        return False

    def keep(self, fingerprint: str, cell: Path) -> None:
        """Store the finished file `cell`; then remove the least recently used beyond the limit.

        A store that cannot be written costs time later, not this run.
        """
        if self.folder is None:
            return
        try:
            content = cell.read_bytes()
            entry = self.folder / _entry_name(fingerprint, content)
            with atomic_path(entry) as temporary:
                temporary.write_bytes(content)
            self._evict(entry.name)
        except (PipelineError, OSError) as error:
            _complain(self.folder, error)

    def checkpoint(self, name: str) -> "Checkpoint":
        """Where the bank called `name`, 64 hexadecimal digits, keeps its unfinished state."""
        if self.folder is None:
            return Checkpoint(None)
        return Checkpoint(self.folder / f"{_UNFINISHED}-{name}{_SUFFIX}")

    def _evict(self, written: str) -> None:
        """Shrink to the limit, as far as that goes without what is in use.

        In use are the entry just `written`, and files that another process may be about to finish.
        """
        total = 0
        for idle, _, size, path in sorted(self._files(written)):
            total += size
            if idle and total > self.limit:
                with suppress(FileNotFoundError):
                    os.unlink(path)

    def _files(self, written: str) -> Iterator[tuple[bool, float, int, str]]:
        """Of every file of ours: whether nobody uses it, seconds since it was used, bytes, path."""
        assert self.folder is not None
        now = time.time()
        with os.scandir(self.folder) as files:
            for file in files:
                if _OURS.fullmatch(file.name):
                    with suppress(FileNotFoundError):
                        status = file.stat()
                        age = now - status.st_mtime
                        unfinished = file.name.startswith((_UNFINISHED, "."))
                        in_use = file.name == written or (unfinished and age < _IN_USE_SECONDS)
                        yield not in_use, age, status.st_size, file.path


@dataclass(frozen=True)
class Checkpoint:
    """The state of a bank after its last whole epoch; `path` None: not kept."""

    path: Path | None

    def save(self, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
        """Replace the state. Where it cannot be written, an interrupted bank starts anew."""
        if self.path is None:
            return
        tensors = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
        sealed = {**metadata, "seal": _seal(self.path.name, tensors, metadata)}
        try:
            write_tensors(self.path, tensors, sealed)
        except PipelineError as error:
            _complain(self.path.parent, error)

    def load(self) -> tuple[dict[str, Tensor], dict[str, str]] | None:
        """The state as it was saved, or None if there is none, or it was damaged since."""
        if self.path is None:
            return None
        try:
            tensors, metadata = read_tensors(self.path)
        except (PipelineError, RuntimeError):  # torch's: removed between header and tensors
            return None
        seal = metadata.pop("seal", None)
        return (tensors, metadata) if seal == _seal(self.path.name, tensors, metadata) else None

    def remove(self) -> None:
        """Forget the state: the bank is finished."""
        if self.path is not None:
            with suppress(OSError):
                self.path.unlink()


def _entry_name(fingerprint: str, content: bytes) -> str:
    digest = hashlib.sha256(fingerprint.encode())
    digest.update(content)
    return f"{fingerprint}-{digest.hexdigest()}{_SUFFIX}"


def _seal(name: str, tensors: dict[str, Tensor], metadata: dict[str, str]) -> str:
    """SHA-256 over all of a checkpoint; safetensors itself does not notice a changed number."""
    kinds = {key: (str(tensor.dtype), list(tensor.shape)) for key, tensor in tensors.items()}
    digest = hashlib.sha256(json.dumps([name, metadata, kinds], sort_keys=True).encode())
    for key in sorted(tensors):
        digest.update(tensors[key].reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _complain(folder: Path, error: Exception) -> None:
    cause = error.__cause__ or error
    reason = cause.strerror if isinstance(cause, OSError) else cause
    _say_once(f"cell store {folder}: {reason}; not all that is trained is kept")


@cache
def _say_once(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
