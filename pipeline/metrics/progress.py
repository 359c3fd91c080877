"""What the terminal shows while models are measured."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress

Result = TypeVar("Result")


def with_progress(
    title: str,
    total: int,
    results: Iterable[tuple[int, Result]],
    line: Callable[[int, Result], str] | None = None,
) -> Iterator[tuple[int, Result]]:
    """Yield `results`, (index of the task, its result), with a progress bar over `total` tasks.

    `line` says a result in words, printed as it comes; in a log file, there is nothing else.
    """
    console = Console()
    with Progress(console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task(title, total=total)
        for index, result in results:
            progress.advance(bar)
            if line is not None:
                print(line(index, result), flush=True)
            yield index, result
