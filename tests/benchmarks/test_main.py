import json
import sys

import pytest

import benchmarks.__main__ as command
from tests.benchmarks.results import RESULTS


@pytest.fixture
def run(monkeypatch, tmp_path):
    """``run(*arguments)``: the command, with results instead of measurements."""
    monkeypatch.setattr(command, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(command, "machine", lambda device: RESULTS["machine"])
    for name, section in (
        ("time_steps", "steps"),
        ("time_grids", "end_to_end"),
        ("time_growth", "growth"),
    ):
        monkeypatch.setattr(command, name, lambda *_, section=section: RESULTS[section])

    def run(*arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", ["benchmarks", "--device", "cpu", *arguments])
        command.main()

    return run


def test_a_whole_run_is_written(run, tmp_path, capsys):
    run()
    folder = tmp_path / "results"
    assert {path.name for path in folder.iterdir()} == {"cpu.json", "cpu.png"}
    assert json.loads((folder / "cpu.json").read_text()) == RESULTS
    before = [path.read_bytes() for path in sorted(folder.iterdir())]
    run()
    assert [path.read_bytes() for path in sorted(folder.iterdir())] == before
    assert "mnist_senn" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--quick"], ["--only", "growth"]])
def test_a_part_does_not_replace_the_whole(run, tmp_path, arguments):
    run(*arguments)
    assert not (tmp_path / "results").exists()
    run(*arguments, "--output", str(tmp_path / "elsewhere"))
    assert (tmp_path / "elsewhere/cpu.json").exists()


def test_only_what_is_asked_for(run, capsys):
    run("--only", "growth")
    printed = capsys.readouterr().out
    assert "growth:" in printed and "compas" not in printed
