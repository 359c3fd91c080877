import struct

import pytest
import safetensors
import safetensors.torch
import torch

from pipeline.core.errors import PipelineError
from pipeline.core.tensors import read_tensors, write_tensors

TENSORS = {
    "weight": torch.arange(6.0).reshape(2, 3),
    "labels": torch.tensor([3, 1, 2]),
    "pixels": torch.tensor([[0, 255, 7]], dtype=torch.uint8),
}
METADATA = {f"key {i} é": f'value "{i}" λ=1e-4 β' for i in range(9)}


def test_round_trip(tmp_path):
    write_tensors(tmp_path / "file.safetensors", TENSORS, METADATA)
    tensors, metadata = read_tensors(tmp_path / "file.safetensors")
    assert metadata == METADATA
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        torch.testing.assert_close(tensors[name], tensor, rtol=0, atol=0)


def test_equal_content_gives_equal_bytes(tmp_path):
    # safetensors' own order of nine keys agrees eight times by chance once in 9! ** 7 runs.
    path = tmp_path / "file.safetensors"
    written = set()
    for _ in range(8):
        write_tensors(path, TENSORS, METADATA)
        written.add(path.read_bytes())
    assert len(written) == 1


@pytest.mark.parametrize("padding", range(8))
def test_the_library_reads_the_rewritten_header(tmp_path, padding):
    path = tmp_path / "file.safetensors"
    write_tensors(path, TENSORS, {"key": "v" * padding})
    content = path.read_bytes()
    assert struct.unpack_from("<Q", content)[0] % 8 == 0
    read = safetensors.torch.load(content)
    assert all(torch.equal(read[name], tensor) for name, tensor in TENSORS.items())


def test_views_are_written_as_they_look(tmp_path):
    base = torch.arange(12.0).reshape(3, 4)
    write_tensors(tmp_path / "file.safetensors", {"a": base.T, "b": base[1:, ::2]}, {})
    tensors, metadata = read_tensors(tmp_path / "file.safetensors")
    assert torch.equal(tensors["a"], base.T) and torch.equal(tensors["b"], base[1:, ::2])
    assert metadata == {}


@pytest.mark.parametrize("content", [None, b"", b"no safetensors at all", b"\xff" * 64])
def test_missing_or_damaged_file(tmp_path, content):
    path = tmp_path / "file.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PipelineError, match=r"cannot read .*file\.safetensors"):
        read_tensors(path)


def test_truncated_file(tmp_path):
    path = tmp_path / "file.safetensors"
    write_tensors(path, TENSORS, METADATA)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(PipelineError, match=r"cannot read .*file\.safetensors"):
        read_tensors(path)
