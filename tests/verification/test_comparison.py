"""Findings about results, from made-up repositories with known differences."""

import json
import subprocess
from pathlib import Path

import pytest
import safetensors.numpy
from numpy import array

from verification.__main__ import judge
from verification.comparison import Finding, compare, differences
from verification.workspace import Copy


def git(folder: Path, *arguments: str) -> None:
    options = ["-c", "user.name=Tester", "-c", "user.email=tester@example.org"]
    subprocess.run(["git", *options, *arguments], cwd=folder, check=True, capture_output=True)


def write(folder: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)


def lock(outs: dict[str, str]) -> str:
    """A dvc.lock of one stage with these outs, MD5 by path."""
    listed = [{"path": path, "md5": md5} for path, md5 in outs.items()]
    return json.dumps({"schema": "2.0", "stages": {"only": {"cmd": "true", "outs": listed}}})


@pytest.fixture
def original(tmp_path) -> Path:
    folder = tmp_path / "original"
    files = {
        ".gitignore": "/models/\n/.dvc/cache/\n",
        "code.py": "old",
        "gone.py": "",
        "dvc.lock": lock({"reports/cells": "1", "reports/metrics/a.json": "2", "models/a": "3"}),
        "reports/cells/a.csv": "seed,accuracy,note\n1,0.5,x\n2,0.625,y\n",
        "reports/cells/b.csv": "seed\n1\n",
        "reports/metrics/a.json": '{"accuracy": 0.5, "inner": {"loss": 1.0}, "verdict": "yes"}',
    }
    write(folder, files)
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "results")
    return folder


@pytest.fixture
def copy(original, tmp_path) -> Copy:
    return Copy.of(original, tmp_path / "copy")


def states(findings: list[Finding]) -> dict[str, str]:
    return {finding.path: finding.state for finding in findings}


def test_a_copy_has_what_git_would_have_and_leaves_the_original(original, tmp_path):
    write(original, {"code.py": "new", "untracked.py": "", "models/ignored": "", "models/b": ""})
    write(original, {".dvc/cache/files/md5/ab/c": "kept"})
    (original / "gone.py").unlink()
    before = {path: path.stat().st_mtime_ns for path in original.rglob("*")}
    copy = Copy.of(original, tmp_path / "deep/copy")
    assert (copy.folder / "code.py").read_text() == "new"
    assert (copy.folder / "untracked.py").exists()
    assert not (copy.folder / "gone.py").exists() and not (copy.folder / "models").exists()
    assert copy.cached("abc") == b"kept" and copy.cached("abd") is None
    assert copy.committed("code.py") == {"code.py": b"old"}
    assert {path: path.stat().st_mtime_ns for path in original.rglob("*")} == before


def test_all_the_same(copy, capsys):
    findings = compare(copy)
    assert states(findings) == {
        "models/a": "same",
        "reports/cells/a.csv": "same",
        "reports/cells/b.csv": "same",
        "reports/metrics/a.json": "same",
    }
    assert judge(findings, promised=True)
    assert capsys.readouterr().out.endswith("4 of 4 results are as committed\n")


def test_every_kind_of_difference_is_reported(copy, capsys):
    write(
        copy.folder,
        {
            "dvc.lock": lock(
                {"reports/cells": "4", "reports/metrics/a.json": "5", "models/a": "6"}
            ),
            "reports/cells/a.csv": "seed,accuracy,note\n1,0.75,x\n2,0.75,z\n",
            "reports/cells/c.csv": "seed\n1\n",
            "reports/metrics/a.json": '{"accuracy": 0.53, "inner": {"loss": 1.0, "n": 2}, '
            '"verdict": "no"}',
        },
    )
    (copy.folder / "reports/cells/b.csv").unlink()
    findings = compare(copy)
    assert states(findings) == {
        "models/a": "differs",
        "reports/cells/a.csv": "differs",
        "reports/cells/b.csv": "missing",
        "reports/cells/c.csv": "new",
        "reports/metrics/a.json": "differs",
    }
    told = {f.path: [str(difference) for difference in f.differences] for f in findings}
    assert told["reports/cells/a.csv"] == [
        "accuracy: committed 0.5, here 0.75, 0.25 apart",
        "note: committed y, here z",
    ]
    assert told["reports/metrics/a.json"] == [
        "accuracy: committed 0.5, here 0.53, 0.03 apart",
        "verdict: committed yes, here no",
        "inner.n: committed None, here 2",
    ]
    assert not judge(findings, promised=True)
    assert "0 of 5 results are as committed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("new", "passes"),
    [
        ('{"accuracy": 0.54, "inner": {"loss": 9.0}, "verdict": "yes"}', True),
        ('{"accuracy": 0.56, "inner": {"loss": 1.0}, "verdict": "yes"}', False),
        ('{"accuracy": null, "inner": {"loss": 1.0}, "verdict": "yes"}', False),
        ('{"accuracy": 0.5, "inner": {"loss": 1.0}, "verdict": "no"}', False),
    ],
)
def test_where_bytes_may_differ_accuracies_and_verdicts_decide(copy, new, passes, capsys):
    write(copy.folder, {"reports/metrics/a.json": new})
    assert judge(compare(copy), promised=False) == passes
    assert f"{'All' if passes else 'Not'} within tolerance" in capsys.readouterr().out


def test_the_largest_difference_of_a_column():
    before, after = b"x,y\n0,1\n0,1\n0,1\n", b"x,y\n0,1.5\n0,-2\n0,1\n"
    (difference,) = differences("a.csv", before, after)
    assert (difference.metric, difference.committed, difference.new) == ("y", 1, -2)
    (difference,) = differences("a.csv", before, b"x,y\n0,1\n")
    assert (difference.metric, difference.committed, difference.new) == ("rows", 3, 1)
    assert not list(differences("a.csv", b"x,y\n1,\n", b"x,y\n1.0,nan\n"))


def test_weights_that_differ_in_metadata_only(original, tmp_path):
    def keep(md5: str, content: bytes) -> str:
        path = original / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return md5

    def folder(md5: str, weights: str) -> str:
        return keep(md5, json.dumps([{"relpath": "w.safetensors", "md5": weights}]).encode())

    numbers = {"w": array([1.0, 2.0])}
    old = keep("aa1", safetensors.numpy.save(numbers, {"code": "old"}))
    new = keep("aa2", safetensors.numpy.save(numbers, {"code": "new"}))
    other = keep("aa3", safetensors.numpy.save({"w": array([1.0, 3.0])}, {"code": "old"}))
    write(original, {"dvc.lock": lock({"models/a": folder("bb1.dir", old)})})
    git(original, "commit", "--quiet", "--all", "--message", "weights")
    copy = Copy.of(original, tmp_path / "copy")
    for md5, weights, state in (("bb2.dir", new, "same*"), ("bb3.dir", other, "differs")):
        folder(md5, weights)
        copy = Copy.of(original, tmp_path / md5)
        write(copy.folder, {"dvc.lock": lock({"models/a": md5})})
        assert states(compare(copy)) == {"models/a": state}
    write(copy.folder, {"dvc.lock": lock({"models/a": "cc4.dir"})})  # in no cache
    assert states(compare(copy)) == {"models/a": "differs"}
