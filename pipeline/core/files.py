"""Files: what is written is complete, or it does not exist; what is missing is named."""

import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.core.errors import PipelineError

if TYPE_CHECKING:  # slow to import; those who write tables have done it
    import pandas as pd


@dataclass(frozen=True)
class File:
    """A file that a task reads, wherever the task runs.

    It is read from `path` on this machine; on a node of a cluster it is `content`, which came with
    the task. Messages call it `path` in either case.
    """

    path: Path
    content: bytes | None = field(default=None, repr=False)

    def read_bytes(self) -> bytes:
        """The file's content.

        Raises
        ------
        PipelineError
            If the file is missing, or cannot be read.
        """
        if self.content is not None:
            return self.content
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise unreadable(self, error) from error

    def digest(self) -> str:
        """SHA-256 of the content, in hexadecimal; raises as `read_bytes` does."""
        return hashlib.sha256(self.read_bytes()).hexdigest()

    def __str__(self) -> str:
        return str(self.path)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; move it there on success, remove it on failure.

    The block must only write: any `OSError` in it is reported as a failed write.

    Raises
    ------
    PipelineError
        If the folder cannot be written or the disk is full.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _flush_to_disk(temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


@contextmanager
def all_or_nothing(folder: Path) -> Iterator[None]:
    """Run a block that adds files to `folder`; if it fails, remove these files.

    Folders that the block created are removed too.

    Raises
    ------
    PipelineError
        If the folder cannot be read.
    """
    try:
        created = [path for path in (folder, *folder.parents) if not path.exists()]
        before = set() if folder in created else set(folder.iterdir())
    except OSError as error:
        raise _unwritable(folder, error) from error
    try:
        yield
    except BaseException:
        with suppress(OSError):
            for path in set(folder.iterdir()) - before:
                path.unlink()
        with suppress(OSError):
            for path in created:
                path.rmdir()
        raise


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, keys in the given order; NaN and infinity are refused."""
    with atomic_path(path) as temporary:
        text = json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def write_csv(path: Path, table: "pd.DataFrame") -> None:
    """Write `table` without its index, floats with the nine digits that identify a float32."""
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.9g", lineterminator="\n")


def read_table(path: Path) -> "pd.DataFrame":
    """A CSV file that a stage wrote.

    Raises
    ------
    PipelineError
        If it is missing, or cannot be read.
    """
    import pandas as pd

    try:
        return pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` as it is."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def unreadable(file: Path | File, why: object) -> PipelineError:
    """To be raised when a file that a stage wrote cannot be read."""
    reason = (isinstance(why, OSError) and why.strerror) or why  # not the path again
    return PipelineError(
        f"cannot read {file}: {reason}. `dvc repro` runs the stage that writes it."
    )


def _flush_to_disk(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _unwritable(path: Path, error: OSError) -> PipelineError:
    return PipelineError(
        f"cannot write {path}: {error.strerror or error}. "
        "Free some space or make the folder writable, then run the same command again."
    )
