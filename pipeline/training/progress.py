"""What the terminal shows while models train: cells, epochs, validation accuracy, time left."""

import math
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class TrainingProgress(Progress):
    """A progress bar over the `epochs` of every task; in a log file, one line per task."""

    def __init__(self, title: str, epochs: Sequence[int], measure: str) -> None:
        self.title, self.measure = title, measure
        self.values: dict[int, float] = {}
        self.done = [0] * len(epochs)
        console = Console()
        super().__init__(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("epochs, {task.fields[value]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self.bar = self.add_task(title, total=sum(epochs), value=f"{measure} –")

    def epoch(self, task: int, epoch: int, value: float) -> None:
        """Note that `task` has done `epoch` epochs and stands at `value` of the measure.

        NaN: there is no value yet.
        """
        self.done[task] = epoch
        if not math.isnan(value):
            self.values[task] = value
        mean = f"{sum(self.values.values()) / len(self.values):.3f}" if self.values else "–"
        self.update(self.bar, completed=sum(self.done), value=f"{self.measure} {mean}")

    def say(self, what: str) -> None:
        """Print `what` on a line of its own, after the title."""
        self.console.print(f"{self.title}: {what}", highlight=False, soft_wrap=True)
