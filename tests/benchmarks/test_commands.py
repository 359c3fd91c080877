import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest

from benchmarks import commands
from pipeline.core.errors import PipelineError
from tests.conftest import REPOSITORY

SLEEPS = """
import sys, time
time.sleep(0.3)
for stage in ("a", "b@c"):
    print(f"Running stage '{stage}':")
    time.sleep(0.6 if stage == "a" else 0.3)
"""


@pytest.fixture
def run(monkeypatch, tmp_path):
    """``run(code, ...)``: the table, of Python commands instead of DVC's."""

    def run(*code: str, params: Path | None = None) -> pd.DataFrame:
        monkeypatch.setattr(commands, "COMMANDS", [(sys.executable, "-c", one) for one in code])
        return commands.time_commands(tmp_path / "clone", params)

    return run


def test_a_stage_lasts_until_the_next_is_said_to_run(run):
    table = run(SLEEPS)
    assert table["stage"].tolist() == [commands.START, "a", "b@c", commands.ALL]
    start, first, second, whole = table["seconds"]
    assert start >= 0.3
    assert first >= 0.6
    assert second >= 0.3
    assert whole == pytest.approx(start + first + second)


def test_commands_run_in_a_clone_with_the_params_given(run, tmp_path):
    params = tmp_path / "mine.yaml"
    shutil.copy(REPOSITORY / "presets/smoke.yaml", params)
    first = "import pathlib; pathlib.Path('reports/new.txt').write_text('1')"
    second = (
        "import pathlib, subprocess as s; assert pathlib.Path('params.yaml').read_bytes() == "
        f"pathlib.Path({str(params)!r}).read_bytes(); "
        "assert not s.check_output(['git', 'status', '--porcelain'])"
    )
    table = run(first, second, params=params)
    assert table.groupby("command").size().tolist() == [2, 2]


def test_what_fails_is_shown(run):
    with pytest.raises(PipelineError, match="no such thing"):
        run("raise SystemExit('no such thing')")


@pytest.mark.parametrize("is_whole", [True, False])
def test_only_the_default_run_replaces_the_results(is_whole, monkeypatch, tmp_path, capsys):
    row = {"command": "dvc repro", "stage": "report", "seconds": 1.23}
    monkeypatch.setattr(commands, "RESULTS", tmp_path / "commands.csv")
    monkeypatch.setattr(commands, "time_commands", lambda *_: pd.DataFrame([row]))
    options = [] if is_whole else ["--params", "presets/smoke.yaml"]
    monkeypatch.setattr(sys, "argv", ["commands", *options])
    commands.main()
    assert "report" in capsys.readouterr().out
    assert (tmp_path / "commands.csv").exists() == is_whole
