"""Tensors with metadata in safetensors files: same content, same bytes."""

import json
import struct
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor

from pipeline.core.errors import PipelineError
from pipeline.core.files import atomic_path


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write `tensors` and `metadata` atomically; equal arguments give equal bytes.

    `safetensors` writes metadata in the order of a Rust hash map, which differs from run to run.
    DVC compares files byte by byte, so the header is written again with its metadata sorted.

    Raises
    ------
    PipelineError
        If `path` cannot be written.
    """
    on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    content = safetensors.torch.save(on_cpu, dict(metadata))
    (length,) = struct.unpack_from("<Q", content)
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"] = dict(sorted(metadata.items()))
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the format aligns data at 8 bytes
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(struct.pack("<Q", len(text)))
        file.write(text)
        file.write(memoryview(content)[8 + length :])


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the tensors (onto the CPU) and the metadata of a safetensors file.

    Raises
    ------
    PipelineError
        If the file is missing or damaged.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            names = file.keys()
            return {name: file.get_tensor(name) for name in names}, file.metadata() or {}
    except (OSError, RuntimeError, safetensors.SafetensorError) as error:
        raise PipelineError(
            f"cannot read {path}: {error}. `dvc repro` runs the stage that writes it."
        ) from error
