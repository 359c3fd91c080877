"""Draw the sections of the report side by side, in processes of their own.

The notebook's kernel only shows them, so it imports neither torch nor pandas nor matplotlib.
"""

import multiprocessing
import sys
import traceback
from contextlib import redirect_stdout, suppress
from functools import cache, partial
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING

from pipeline.core.errors import PipelineError
from pipeline.core.processes import cores, interrupts_blocked
from pipeline.reporting.sections import DRAWN_FIRST, SECTIONS

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.claims.results import Results
    from pipeline.reporting.display import Bundle

PROCESSES = 2  # one section takes as long as all others together


class Page:
    """Starts to draw all sections of the report on a run, in two processes.

    `places` are those of its files, as `Results` takes them. The processes get their next section
    while this one waits for one. With one core, a section is drawn when it is asked for.
    """

    def __init__(self, *places: str) -> None:
        self._results = cache(partial(_read, places))
        self._todo = sorted(SECTIONS, key=lambda name: name not in DRAWN_FIRST)
        self._drawn: dict[str, tuple[list[Bundle], Exception | None]] = {}
        self._drawing: list[Connection] = []
        context = multiprocessing.get_context("spawn")
        for _ in range(PROCESSES if cores() > 1 else 0):
            here, there = context.Pipe()
            with interrupts_blocked():  # this process handles Ctrl-C
                context.Process(target=_draw_all, args=(there, places), daemon=True).start()
            there.close()
            self._drawing.append(here)

    def show(self, name: str) -> None:
        """Display the section that `sections.SECTIONS` has under this name.

        Raises
        ------
        PipelineError
            If there is no such section, a process that draws was killed, or the section raises it.
        RuntimeError
            With the traceback, if a section raises anything else.
        """
        from IPython.display import display

        for data, metadata in self.drawn(name):
            display(data, metadata=metadata, raw=True)

    def drawn(self, name: str) -> "list[Bundle]":
        """What `show` displays."""
        while self._drawing and name not in self._drawn:
            for channel in wait(self._drawing):
                assert isinstance(channel, Connection)
                self._answer(channel)
        if name not in self._drawn:
            return _draw(name, self._results)
        bundles, error = self._drawn[name]
        if error is not None:
            raise error
        return bundles

    def _answer(self, channel: Connection) -> None:
        """Take what another process has drawn, and tell it what to draw next."""
        try:
            if (message := channel.recv()) is not None:
                name, bundles, error = message
                self._drawn[name] = bundles, error
            following = self._todo.pop(0) if self._todo else None
            channel.send(following)
        except (EOFError, OSError) as closed:
            raise PipelineError(
                "a process that draws the report was killed, most likely because memory ran out. "
                "Free some memory and repeat the command."
            ) from closed
        if following is None:
            self._drawing.remove(channel)


def _draw_all(channel: Connection, places: tuple[str, ...]) -> None:
    """Draw the sections that `Page` asks for, until it asks for none."""
    results = cache(partial(_read, places))
    # If nobody waits for the answers any more, there is nobody to tell.
    with channel, suppress(EOFError, OSError), redirect_stdout(sys.stderr):
        channel.send(None)  # it lives
        while (name := channel.recv()) is not None:
            try:
                channel.send((name, _draw(name, results), None))
            except Exception as error:
                channel.send((name, [], _to_send(error)))


def _draw(name: str, results: "Callable[[], Results]") -> "list[Bundle]":
    from pipeline.core.params_choices import implementation
    from pipeline.core.workers import one_thread

    if name not in SECTIONS:
        raise PipelineError(f"pipeline/reporting/sections.py has no section {name}; add it there")
    with one_thread():
        section = implementation(f"pipeline.reporting.{name.replace('.', ':')}")
        return [part.bundle() for part in section(results())]


def _read(places: tuple[str, ...]) -> "Results":
    from pipeline.claims.results import Results

    return Results(*places)


def _to_send(error: Exception) -> Exception:
    """`error`, or what surely can be sent of it: its traceback."""
    return error if isinstance(error, PipelineError) else RuntimeError(traceback.format_exc())
