"""Run `dvc repro` in a copy and say how far it is."""

import json
import os
import re
import subprocess
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from pipeline.core.errors import PipelineError
from verification.workspace import Copy

# Seconds by stage on two cores, to tell the time left by; another machine is so many times slower.
DURATIONS = Path(__file__).with_name("durations.json")
_STARTED = re.compile(r"Running stage '([^']+)'")
_SKIPPED = re.compile(r"Stage '([^']+)' (?:didn't change|is cached)")
_LAST_LINES = 30


def rerun(copy: Copy, everything: bool) -> None:
    """Run the stages that are not up to date, or `everything`, from an empty cell store.

    In a fresh clone DVC takes the committed tables for results of this machine: there, it is
    everything.

    Raises
    ------
    PipelineError
        If a stage fails; the message has its last lines.
    """
    programs = str(Path(sys.executable).parent)  # stages run `python`, which must be this one
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([programs, os.environ.get("PATH", os.defpath)]),
        "SENN_CELL_STORE": str(copy.folder.with_suffix(".cells")),
    }
    command = [
        sys.executable,
        "-m",
        "dvc",
        "repro",
        *(["--force"] if everything or copy.is_fresh else []),
    ]
    names = _stages(copy, environment)
    # Outs that the cache has; where it has not all, `dvc repro` makes the others.
    checkout = [sys.executable, "-m", "dvc", "checkout", "--quiet"]
    subprocess.run(checkout, cwd=copy.folder, env=environment, capture_output=True, check=False)
    log = copy.folder.with_suffix(".log")
    with (
        log.open("w", encoding="utf-8") as file,
        _Watch(names) as watch,
        subprocess.Popen(
            command,
            cwd=copy.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        last = deque[str](maxlen=_LAST_LINES)
        for line in process.stdout:
            file.write(line)
            last.append(line)
            watch.read(line)
        status = process.wait()
        if status:
            raise PipelineError(f"`dvc repro` failed in the copy:\n{''.join(last)}")
        watch.end_stage()


def _stages(copy: Copy, environment: dict[str, str]) -> list[str]:
    command = [sys.executable, "-m", "dvc", "stage", "list", "--name-only"]
    listed = subprocess.run(
        command, cwd=copy.folder, env=environment, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        raise PipelineError(f"`dvc stage list` failed in the copy:\n{listed.stderr.strip()}")
    return listed.stdout.split()


@dataclass
class _Watch:
    """What the terminal shows: a bar, and one line a stage that ran."""

    names: list[str]
    done: dict[str, float] = field(default_factory=dict)  # seconds, 0 of those not run
    running: str | None = None
    since: float = 0.0

    def __post_init__(self) -> None:
        expected = json.loads(DURATIONS.read_text(encoding="utf-8"))["seconds"]
        usual = sum(expected.values()) / len(expected)
        self.expected = {name: expected.get(name, usual) for name in self.names}
        self.console = Console()
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("stages"),
            TimeElapsedColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self.task = self.bar.add_task("starting", total=len(self.names))

    def __enter__(self) -> "_Watch":
        self.bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.stop()

    def read(self, line: str) -> None:
        """Take note of a line that DVC printed."""
        if started := _STARTED.match(line):
            self.end_stage()
            self.running, self.since = started[1], time.monotonic()
            self.bar.update(self.task, description=started[1])
        elif skipped := _SKIPPED.match(line):
            self.end_stage()
            self._finish(skipped[1], 0.0)

    def end_stage(self) -> None:
        """The stage that was running has ended."""
        if self.running is not None:
            name, self.running = self.running, None
            seconds = time.monotonic() - self.since
            self._finish(name, seconds)
            self.bar.console.print(
                f"{name}: {seconds:.0f} s; {len(self.done)} of {len(self.names)} stages, "
                f"{self._time_left()}",
                highlight=False,
            )

    def _finish(self, name: str, seconds: float) -> None:
        self.done[name] = seconds
        self.bar.update(self.task, completed=len(self.done))

    def _time_left(self) -> str:
        """What is expected of the stages to come, at the pace of those that ran."""
        ran = [name for name, seconds in self.done.items() if seconds]
        pace = sum(self.done[n] for n in ran) / sum(self.expected.get(n, 1.0) for n in ran)
        left = pace * sum(s for name, s in self.expected.items() if name not in self.done)
        return f"about {left / 60:.0f} min left" if left >= 90 else f"about {left:.0f} s left"
