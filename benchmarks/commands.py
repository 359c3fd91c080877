"""How long users wait: for everything from nothing, and then for another headline λ.

    python -m benchmarks.commands      # writes benchmarks/results/commands.csv; some 20 minutes

Runs `COMMANDS` in a temporary clone of the last commit, with a cell store and a DVC cache of its
own, and times their stages by what DVC prints. Leave the machine alone meanwhile.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from benchmarks.report import warn_if_busy
from pipeline.core.errors import PipelineError
from pipeline.core.files import write_csv
from pipeline.core.stage import run_stage

REPOSITORY = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).parent / "results/commands.csv"
COMMANDS = (
    ("dvc", "repro", "--force"),  # without it DVC takes committed tables for this clone's
    ("dvc", "exp", "run", "-S", "robust_reg=0.1"),
)
START, ALL = "(DVC starts)", "(all)"
RUNNING = re.compile(r"Running stage '([^']+)'")
_LAST_LINES = 30


def main() -> None:
    """Print a row per command and stage, and write them to ``--output``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.commands", description=__doc__)
    parser.add_argument("--params", type=Path, help="such as presets/smoke.yaml: another params")
    parser.add_argument("--output", type=Path, help=f"by default {RESULTS.name}, without --params")
    options = parser.parse_args()
    warn_if_busy()
    with tempfile.TemporaryDirectory(prefix="senn-commands-") as scratch:
        table = time_commands(Path(scratch, "clone"), options.params)
    print(table.to_string(index=False, float_format="%.1f"))
    output = options.output or (None if options.params else RESULTS)
    if output is not None:
        write_csv(output, table.round(1))


def time_commands(
    folder: Path, params: Path | None, commands: Sequence[Sequence[str]] | None = None
) -> pd.DataFrame:
    """Run `commands`, by default `COMMANDS`, in `folder`, a new clone, perhaps with other `params`.

    Returns
    -------
    One row per command and stage that ran, in order: command, stage, seconds. Two rows a command
    are no stages: `START`, until the first stage runs, and `ALL`.

    Raises
    ------
    PipelineError
        If the clone cannot be made, or a command fails; has the last lines of what it printed.
    """
    rows = []
    _run(("git", "clone", "--quiet", str(REPOSITORY), str(folder)), folder.parent)
    for key, value in (("name", "Benchmark"), ("email", "benchmark@example.org")):
        _run(("git", "config", f"user.{key}", value), folder)
    if params is not None:
        shutil.copy(params, folder / "params.yaml")
    for command in COMMANDS if commands is None else commands:
        name = " ".join(command)
        print(f"running {name}", file=sys.stderr, flush=True)
        for stage, seconds in _run(command, folder).items():
            rows.append({"command": name, "stage": stage, "seconds": seconds})
        # As a user would: an experiment starts from a commit.
        _run(("git", "add", "--all"), folder)
        _run(("git", "commit", "--quiet", "--allow-empty", "--message", name), folder)
    return pd.DataFrame(rows)


def _run(command: Sequence[str], folder: Path) -> dict[str, float]:
    """Run `command` in `folder`; seconds of the stages that it says it runs, `START` and `ALL`."""
    begun = time.monotonic()
    marks = [(START, begun)]
    for line in lines_of(command, folder):
        if running := RUNNING.match(line):
            marks.append((running[1], time.monotonic()))
    ends = [*(since for _, since in marks[1:]), time.monotonic()]
    seconds = {stage: end - since for (stage, since), end in zip(marks, ends, strict=True)}
    return {**seconds, ALL: ends[-1] - begun}


def lines_of(command: Sequence[str], folder: Path) -> Iterator[str]:
    """What `command` prints in `folder`, a copy of the repository, as it comes.

    Stages run this Python, and have a cell store of their own beside `folder`.

    Raises
    ------
    PipelineError
        If it fails; has the last lines of what it printed.
    """
    programs = str(Path(sys.executable).parent)  # stages run `python`, which must be this one
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([programs, os.environ.get("PATH", os.defpath)]),
        "PYTHONUNBUFFERED": "1",  # lines are timed as they come
        "SENN_CELL_STORE": str(folder.with_suffix(".cells")),
    }
    last = deque[str](maxlen=_LAST_LINES)
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            last.append(line)
            yield line
    if process.returncode:
        raise PipelineError(f"`{' '.join(command)}` failed in {folder}:\n{''.join(last)}")


if __name__ == "__main__":
    run_stage(main)
