"""What the terminal shows while models train: cells, epochs, validation accuracy, time left."""

from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class TrainingProgress:
    """A progress bar over the `epochs` of every task; in a log file, one line per task."""

    def __init__(self, title: str, epochs: Sequence[int], measure: str) -> None:
        self.title, self.measure = title, measure
        self.values: dict[int, float] = {}
        self.done = [0] * len(epochs)
        self.console = Console()
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("epochs, {task.fields[value]}"),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self.task = self.bar.add_task(title, total=sum(epochs), value=f"{measure} –")

    def epoch(self, task: int, epoch: int, value: float) -> None:
        """Note that `task` has done `epoch` epochs and stands at `value` of the measure."""
        self.done[task], self.values[task] = epoch, value
        mean = sum(self.values.values()) / len(self.values)
        self.bar.update(self.task, completed=sum(self.done), value=f"{self.measure} {mean:.3f}")

    def finished(self, what: str) -> None:
        """Print one line that `what` is done."""
        self.bar.console.print(f"{self.title}: {what}", highlight=False, soft_wrap=True)

    def __enter__(self) -> "TrainingProgress":
        self.bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bar.stop()
