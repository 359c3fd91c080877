import errno
import json
import os
import stat

import numpy as np
import pandas as pd
import pytest

from pipeline.core.errors import PipelineError
from pipeline.core.files import (
    File,
    all_or_nothing,
    atomic_path,
    read_table,
    write_csv,
    write_json,
)


def entries(folder):
    return sorted(path.name for path in folder.iterdir())


def test_atomic_path_makes_folders_and_leaves_only_the_file(tmp_path):
    path = tmp_path / "a" / "b" / "result.txt"
    with atomic_path(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
        assert temporary.parent == path.parent  # one file system, or the move would be a copy
    assert path.read_text() == "whole"
    assert entries(path.parent) == ["result.txt"]


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_atomic_path_keeps_the_old_file_when_the_block_fails(tmp_path, failure):
    path = tmp_path / "result.txt"
    path.write_text("old")
    with pytest.raises(failure), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise failure
    assert path.read_text() == "old"
    assert entries(tmp_path) == ["result.txt"]


def test_atomic_path_file_is_readable_as_the_umask_says(tmp_path):
    previous = os.umask(0o027)
    try:
        with atomic_path(tmp_path / "result.txt") as temporary:
            temporary.write_text("whole")
    finally:
        os.umask(previous)
    assert stat.S_IMODE((tmp_path / "result.txt").stat().st_mode) == 0o640


def test_atomic_path_full_disk(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(PipelineError, match=r"result\.txt: No space left on device"):
        write_json(tmp_path / "result.txt", {})
    assert entries(tmp_path) == []


def test_atomic_path_where_no_folder_can_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PipelineError, match=r"cannot write .*result\.txt"):
        write_json(tmp_path / "file" / "result.txt", {})


def test_all_or_nothing_removes_what_the_failed_block_made(tmp_path):
    folder = tmp_path / "new" / "folder"
    with pytest.raises(RuntimeError), all_or_nothing(folder):
        write_json(folder / "first.json", 1)
        raise RuntimeError
    assert entries(tmp_path) == []


def test_all_or_nothing_keeps_what_was_there(tmp_path):
    (tmp_path / "old.txt").write_text("old")
    with pytest.raises(KeyboardInterrupt), all_or_nothing(tmp_path):
        (tmp_path / "new.txt").write_text("new")
        raise KeyboardInterrupt
    assert entries(tmp_path) == ["old.txt"]


def test_all_or_nothing_keeps_what_a_finished_block_made(tmp_path):
    with all_or_nothing(tmp_path / "folder"):
        write_json(tmp_path / "folder" / "first.json", 1)
    assert entries(tmp_path / "folder") == ["first.json"]


def test_all_or_nothing_where_no_folder_can_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PipelineError, match="cannot write"), all_or_nothing(tmp_path / "file"):
        pass


def test_sha256_of_the_published_test_vector(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")  # FIPS 180-2, appendix B.1
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert File(tmp_path / "abc").digest() == expected


def test_write_json_keeps_order_and_refuses_nan(tmp_path):
    path = tmp_path / "metrics.json"
    write_json(path, {"b": 1.5, "a": [1]})
    assert path.read_text().endswith("}\n")
    assert list(json.loads(path.read_text()).items()) == [("b", 1.5), ("a", [1])]
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(path, {"b": float("nan")})
    assert json.loads(path.read_text())["b"] == 1.5
    assert entries(tmp_path) == ["metrics.json"]


def test_write_csv_round_trips_float32(tmp_path):
    values = np.random.default_rng(0).standard_normal(2_000).astype(np.float32)
    write_csv(tmp_path / "table.csv", pd.DataFrame({"value": values}))
    read = pd.read_csv(tmp_path / "table.csv")
    assert list(read.columns) == ["value"]
    assert np.array_equal(read["value"].to_numpy(np.float32), values)


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe\x00"])
def test_a_table_that_cannot_be_read_is_named(tmp_path, content):
    path = tmp_path / "table.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PipelineError, match=rf"cannot read {path}: .*`dvc repro` runs the stage"):
        read_table(path)
