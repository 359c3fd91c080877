"""Findings about results, from made-up repositories with known differences."""

import json
import subprocess
from pathlib import Path

import pytest
import safetensors.numpy
from numpy import array

from verification import __main__ as command
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


OUTS = {
    "models/a": "1",
    "reports/cells": "2",
    "reports/claims.json": "3",
    "reports/metrics/a.json": "4",
    "reports/report.html": "5",
}


@pytest.fixture
def original(tmp_path) -> Path:
    folder = tmp_path / "original"
    files = {
        ".gitignore": "/models/\n/.dvc/cache/\n",
        "code.py": "old",
        "gone.py": "",
        "dvc.lock": lock(OUTS),
        "reports/cells/a.csv": "seed,accuracy,collapsed,note\n1,0.5,0,x\n2,0.625,1,y\n",
        "reports/cells/b.csv": "seed\n1\n",
        "reports/claims.json": '{"a-claim": "undecided", "another": "reproduced"}',
        "reports/metrics/a.json": '{"accuracy": 0.5, "inner": {"loss": 1.0}}',
        "reports/report.html": "<p>",
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
        "reports/claims.json": "same",
        "reports/metrics/a.json": "same",
        "reports/report.html": "same",
    }
    assert judge(findings, promised=True)
    assert capsys.readouterr().out.endswith("6 of 6 results are as committed\n")


def test_every_kind_of_difference_is_reported(copy, capsys):
    write(
        copy.folder,
        {
            "dvc.lock": lock({path: "6" for path in OUTS}),
            "reports/cells/a.csv": "seed,accuracy,collapsed,note\n1,0.53,0,x\n2,0.75,1,z\n",
            "reports/cells/c.csv": "seed\n1\n",
            "reports/claims.json": '{"a-claim": "undecided", "another": "not reproduced"}',
            "reports/metrics/a.json": '{"accuracy": 0.53, "inner": {"loss": 1.0, "n": 2}}',
            "reports/report.html": "<b>",
        },
    )
    (copy.folder / "reports/cells/b.csv").unlink()
    findings = compare(copy)
    assert states(findings) == {
        "models/a": "differs",
        "reports/cells/a.csv": "differs",
        "reports/cells/b.csv": "missing",
        "reports/cells/c.csv": "new",
        "reports/claims.json": "differs",
        "reports/metrics/a.json": "differs",
        "reports/report.html": "differs",
    }
    told = {f.path: [str(difference) for difference in f.differences] for f in findings}
    assert told["reports/cells/a.csv"] == [
        "accuracy: committed 0.625, here 0.75, 0.125 apart",
        "accuracy, not collapsed: committed 0.5, here 0.53, 0.03 apart",
        "note: committed y, here z",
    ]
    assert told["reports/claims.json"] == ["another: committed reproduced, here not reproduced"]
    assert told["reports/metrics/a.json"] == [
        "accuracy: committed 0.5, here 0.53, 0.03 apart",
        "inner.n: committed None, here 2",
    ]
    assert not judge(findings, promised=True)
    assert "0 of 7 results are as committed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("file", "new", "passes"),
    [
        ("metrics/a.json", '{"accuracy": 0.54, "inner": {"loss": 9.0}}', True),
        ("metrics/a.json", '{"accuracy": 0.56, "inner": {"loss": 1.0}}', True),  # of lambda/
        ("claims.json", '{"a-claim": "undecided", "another": "not reproduced"}', False),
        ("cells/a.csv", "seed,accuracy,collapsed,note\n1,0.54,0,z\n2,0.625,1,y\n", True),
        ("cells/a.csv", "seed,accuracy,collapsed,note\n1,0.56,0,x\n2,0.625,1,y\n", False),
        ("cells/a.csv", "seed,accuracy,collapsed,note\n1,0.43,1,x\n2,0.625,1,y\n", False),
        ("cells/a.csv", "seed,accuracy,collapsed,note\n1,,0,x\n2,0.625,1,y\n", False),
        # Where a collapsed model ends, rounding decides.
        ("cells/a.csv", "seed,accuracy,collapsed,note\n1,0.5,0,x\n2,0.125,1,y\n", True),
        ("cells/a.csv", "seed,accuracy,collapsed,note\n1,0.5,0,x\n", False),
        ("cells/a.csv", "seed,collapsed,note\n1,0,x\n2,1,y\n", False),
        ("report.html", "<b>", True),
    ],
)
def test_where_bytes_may_differ_accuracies_and_verdicts_decide(copy, file, new, passes, capsys):
    write(copy.folder, {f"reports/{file}": new})
    assert judge(compare(copy), promised=False) == passes
    assert f"{'All' if passes else 'Not'} within tolerance" in capsys.readouterr().out


@pytest.mark.parametrize("path", OUTS)
def test_where_bytes_may_differ_nothing_may_be_missing(copy, path, capsys):
    write(copy.folder, {"dvc.lock": lock({out: md5 for out, md5 in OUTS.items() if out != path})})
    for file in copy.present(path):
        (copy.folder / file).unlink()
    assert not judge(compare(copy), promised=False)
    assert f"Not within tolerance: {path}" in capsys.readouterr().out


def test_what_dvc_keeps_is_not_read(copy, monkeypatch):
    def of_reports(path):
        assert path.startswith("reports/") or path == "dvc.lock"
        return present(path)

    present = copy.present
    write(copy.folder, {"models/a/big": ""})
    monkeypatch.setattr(Copy, "present", lambda _, path: of_reports(path))
    compare(copy)


def test_interrupted(monkeypatch, capsys):
    def interrupt(*_: object) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "verify", interrupt)
    monkeypatch.setattr("sys.argv", ["verification"])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == 130
    assert "interrupted" in capsys.readouterr().err


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
