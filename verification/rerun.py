"""Run `dvc repro` in a copy, and report its progress."""

import csv
import re
import time
from contextlib import suppress
from dataclasses import dataclass, field

from rich.console import Console

from benchmarks.commands import RESULTS, RUNNING, lines_of
from pipeline.core.errors import PipelineError
from verification.workspace import Copy

_NAME = re.compile(r"[\w@-]+\n")
_SKIPPED = re.compile(r"Stage '([^']+)' (?:didn't change|is cached)")


def rerun(copy: Copy, everything: bool) -> None:
    """Run the stages that are not up to date, or `everything`, from an empty cell store.

    In a fresh clone everything is run, since DVC would take the committed tables for results of
    this machine.

    Raises
    ------
    PipelineError
        If a stage fails; the message has its last lines.
    """
    listed = lines_of(("dvc", "stage", "list", "--name-only"), copy.folder)
    names = [line.strip() for line in listed if _NAME.fullmatch(line)]  # not what DVC warns of
    with suppress(PipelineError):  # outs that the cache has; `dvc repro` makes the others
        list(lines_of(("dvc", "checkout", "--quiet"), copy.folder))
    force = ("--force",) if everything or copy.is_fresh else ()
    progress = _Progress(names)
    with (
        copy.folder.with_suffix(".log").open("w", encoding="utf-8") as log,
        Console().status("starting") as status,
    ):
        for line in lines_of(("dvc", "repro", *force), copy.folder):
            log.write(line)
            if started := RUNNING.match(line):
                progress.begin(started[1])
                status.update(started[1])
            elif skipped := _SKIPPED.match(line):
                progress.skip(skipped[1])
    progress.end()


@dataclass
class _Progress:
    """Prints a line for each stage that ran, with the time left."""

    names: list[str]
    done: dict[str, float] = field(default_factory=dict)  # seconds by stage, 0 if it did not run
    running: str | None = None
    since: float = 0.0

    def begin(self, name: str) -> None:
        """A stage starts, so that the one before it has ended."""
        self.end()
        self.running, self.since = name, time.monotonic()

    def skip(self, name: str) -> None:
        """A stage need not run; the one before it has ended."""
        self.end()
        self.done[name] = 0.0

    def end(self) -> None:
        """The stage that was running, if any, has ended."""
        if self.running is not None:
            name, self.running = self.running, None
            self.done[name] = seconds = time.monotonic() - self.since
            stages = f"{len(self.done)} of {len(self.names)} stages"
            print(f"{name}: {seconds:.0f} s; {stages}, {self._time_left()}", flush=True)

    def _time_left(self) -> str:
        """What the other stages should take, at the pace of those that ran."""
        usual = usual_seconds()
        mean = sum(usual.values()) / len(usual)  # for stages that are not in the file
        ran = [name for name, seconds in self.done.items() if seconds]
        pace = sum(self.done[n] for n in ran) / sum(usual.get(n, mean) for n in ran)
        left = pace * sum(usual.get(n, mean) for n in self.names if n not in self.done)
        return f"about {left / 60:.0f} min left" if left >= 90 else f"about {left:.0f} s left"


def usual_seconds() -> dict[str, float]:
    """What each stage of the first command of benchmarks/commands.py took, on two cores."""
    with RESULTS.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if not row["stage"].startswith("(")]
    return {row["stage"]: float(row["seconds"]) for row in reversed(rows)}
