"""Tensors with metadata in safetensors files: same content, same bytes. No pickle."""

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from pipeline.core.errors import PipelineError
from pipeline.core.files import File, unreadable, write_bytes


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write `tensors` and `metadata` atomically; equal arguments give equal bytes.

    Raises
    ------
    PipelineError
        If `path` cannot be written.
    """
    write_bytes(path, to_bytes(tensors, metadata))


def to_bytes(tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> bytes:
    """The safetensors file of `tensors` and `metadata`; equal arguments give equal bytes.

    Every value of `metadata` is stored as JSON. `safetensors` writes metadata in the order of a
    Rust hash map, which differs from run to run. DVC compares files byte by byte, so the header is
    written again with its metadata sorted.
    """
    on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    described = {key: json.dumps(value) for key, value in sorted(metadata.items())}
    header, data = _parts(safetensors.torch.save(on_cpu, described))
    header["__metadata__"] = described
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the format aligns data at 8 bytes
    return b"".join((struct.pack("<Q", len(text)), text, data))


def _parts(content: bytes) -> tuple[dict[str, Any], memoryview]:
    """The header of a safetensors file, and the numbers behind it."""
    (length,) = struct.unpack_from("<Q", content)
    return json.loads(content[8 : 8 + length]), memoryview(content)[8 + length :]


def read_tensors(file: Path | File) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `to_bytes` made: tensors, onto the CPU, and metadata.

    Raises
    ------
    PipelineError
        If the file is missing or damaged, or written by another program.
    """
    try:
        content = file.read_bytes()
        tensors = safetensors.torch.load(content)
    except (OSError, safetensors.SafetensorError) as error:
        raise unreadable(file, error) from error
    described = _parts(content)[0].get("__metadata__", {})
    try:
        return tensors, {key: json.loads(value) for key, value in described.items()}
    except ValueError as error:
        raise foreign(file, error) from error


def foreign(file: Path | File, error: Exception) -> PipelineError:
    """To be raised when `error` shows that another program, or version, wrote `file`."""
    reason = " ".join(str(error).split())  # torch's and pydantic's go over several lines
    return PipelineError(
        f"{file} was not written by this version: {reason}. Remove it and run `dvc repro`."
    )
