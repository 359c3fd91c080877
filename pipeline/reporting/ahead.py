"""Compute in a second process, while this one draws, what takes seconds."""

import multiprocessing
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from multiprocessing.connection import Connection
from typing import Any, Generic, TypeVar

from pipeline.core.device import cores
from pipeline.core.errors import PipelineError
from pipeline.core.workers import interrupts_blocked, one_thread

Result = TypeVar("Result")


class Ahead(Generic[Result]):
    """The result of ``work(*arguments)``, computed from now on where there is a core for it.

    Parameters
    ----------
    work : a module's function; it, its arguments and its result can be pickled.
    """

    def __init__(self, work: Callable[..., Result], *arguments: Any) -> None:
        self._work, self._arguments = work, arguments
        self._answer: Connection | None = None
        if cores() > 1:
            context = multiprocessing.get_context("spawn")
            self._answer, sender = context.Pipe(duplex=False)
            target = (sender, work, arguments)
            with interrupts_blocked():  # this process handles Ctrl-C
                context.Process(target=_compute, args=target, daemon=True).start()
            sender.close()

    @cached_property
    def result(self) -> Result:
        """The result, waited for.

        Raises
        ------
        PipelineError
            If the other process was killed. Whatever `work` raises is raised here.
        """
        if self._answer is None:
            with one_thread():
                return self._work(*self._arguments)
        try:
            outcome, error = self._answer.recv()
        except EOFError as closed:
            raise PipelineError(
                "a process that computes for the report was killed, most likely because memory ran "
                "out. Free some memory and repeat the command."
            ) from closed
        if error is not None:
            raise error
        return outcome


def _compute(sender: Connection, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    # If nobody waits for the answer any more, there is nobody to tell.
    with sender, one_thread(), suppress(BrokenPipeError):
        try:
            sender.send((work(*arguments), None))
        except Exception as error:
            sender.send((None, error))
