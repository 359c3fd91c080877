"""The cell store: to trained cells what a compiler cache is to objects.

Finished cells are kept outside the workspace under their fingerprint (`fingerprint`), so that a
new λ or seed trains only what is new, and a killed run goes on where it was. Deleting the store
changes nothing but time. ``SENN_CELL_STORE`` names its folder, or ``off``; ``SENN_CELL_STORE_GB``
its size.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from pipeline.errors import PipelineError
from pipeline.files import atomic_path, sha256_of
from pipeline.tensors import read_tensors, write_tensors

_DEFAULT_GB = 5.0
_SUFFIX = ".safetensors"


@dataclass(frozen=True)
class CellStore:
    """A folder of files ``<fingerprint>-<SHA-256 of the file>.safetensors``.

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
            If ``SENN_CELL_STORE_GB`` is not a positive number.
        """
        place = os.environ.get("SENN_CELL_STORE", "")
        size = os.environ.get("SENN_CELL_STORE_GB", str(_DEFAULT_GB))
        try:
            limit = int(float(size) * 1e9)
        except (ValueError, OverflowError):
            limit = 0
        if limit <= 0:
            raise PipelineError(
                f"SENN_CELL_STORE_GB must be a number > 0 of gigabytes, got {size!r}"
            )
        if place == "off":
            return cls(None, limit)
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return cls(Path(place).expanduser() if place else cache / "senn" / "cells", limit)

    def fetch(self, fingerprint: str, destination: Path) -> bool:
        """Copy the cell with `fingerprint` to `destination`; False if it is not there, or damaged.

        A damaged file is removed: the cell is trained again.
        """
        for entry in self._entries(f"{fingerprint}-*{_SUFFIX}"):
            with suppress(FileNotFoundError):
                if sha256_of(entry) == entry.stem.rpartition("-")[2]:
                    with atomic_path(destination) as temporary:
                        shutil.copyfile(entry, temporary)
                    os.utime(entry)  # used now
                    return True
                entry.unlink()
        return False

    def keep(self, fingerprint: str, cell: Path) -> None:
        """Store the finished file `cell`; then remove the least recently used beyond the limit.

        A store that cannot be written costs time later, not this run.
        """
        if self.folder is None:
            return
        with suppress(PipelineError, OSError):
            entry = self.folder / f"{fingerprint}-{sha256_of(cell)}{_SUFFIX}"
            with atomic_path(entry) as temporary:
                shutil.copyfile(cell, temporary)
            self._evict()

    def checkpoint(self, name: str) -> "Checkpoint":
        """Where the bank called `name` keeps its unfinished state."""
        return Checkpoint(
            None if self.folder is None else self.folder / f"unfinished-{name}{_SUFFIX}"
        )

    def _entries(self, pattern: str) -> list[Path]:
        return [] if self.folder is None else sorted(self.folder.glob(pattern))

    def _evict(self) -> None:
        files = sorted(self._ages(), reverse=True)
        total = 0
        for _, size, path in files:
            total += size
            if total > self.limit:
                path.unlink(missing_ok=True)

    def _ages(self) -> Iterator[tuple[float, int, Path]]:
        for path in self._entries(f"*{_SUFFIX}"):
            with suppress(FileNotFoundError):
                status = path.stat()
                yield status.st_mtime, status.st_size, path


@dataclass(frozen=True)
class Checkpoint:
    """The state of a bank after its last whole epoch; `path` None: not kept."""

    path: Path | None

    def save(self, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
        """Replace the state. Where it cannot be written, an interrupted bank starts anew."""
        if self.path is not None:
            with suppress(PipelineError):
                write_tensors(self.path, tensors, metadata)

    def load(self) -> tuple[dict[str, Tensor], dict[str, str]] | None:
        """The state, or None if there is none that can be read."""
        if self.path is None or not self.path.exists():
            return None
        try:
            return read_tensors(self.path)
        except PipelineError:
            return None

    def remove(self) -> None:
        """Forget the state: the bank is finished."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
