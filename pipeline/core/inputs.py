"""A file that a task reads, wherever the task runs."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.core.errors import PipelineError


@dataclass(frozen=True)
class File:
    """A file of this machine; on a node of a cluster its content, which came with the task.

    `path` names it in messages, wherever it is read.
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
            raise PipelineError(
                f"cannot read {self}: {error.strerror}. `dvc repro` runs the stage that writes it."
            ) from error

    def digest(self) -> str:
        """SHA-256 of the content, in hexadecimal; raises as `read_bytes` does."""
        return hashlib.sha256(self.read_bytes()).hexdigest()

    def __str__(self) -> str:
        return str(self.path)
