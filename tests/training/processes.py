"""Processes of their own for tests, that start in milliseconds and may be killed at any moment."""

import multiprocessing
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from typing import Any

# A server imports the training code once, and what torch imports when first used, and forks.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["tests.training.grids", "pipeline.training.engine", "torch._dynamo"]
)


def start(work: Callable[..., None], *arguments: Any) -> ForkServerProcess:
    """Start ``work(*arguments)``, a function of a module, in a process of its own."""
    process = _CONTEXT.Process(target=work, args=arguments)
    process.start()
    return process
