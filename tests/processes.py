"""Processes of their own for tests, that start in milliseconds and may be killed at any moment."""

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]

# A server imports the code once, and what that and torch import when first used, and forks.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["tests.training.grids", "stages.train", "stages.explain", "stages.report", "torch._dynamo"]
)


def start(work: Callable[..., None], *arguments: Any) -> ForkServerProcess:
    """Start ``work(*arguments)``, a function of a module, in a process of its own."""
    process = _CONTEXT.Process(target=work, args=arguments)
    process.start()
    return process


def run_stage(
    folder: Path, *command: str, code: Path = REPOSITORY, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run ``python -m stages.<command>`` of the repository `code`, in `folder` and on one core.

    `variables` are added to those of the environment.
    """
    with tempfile.TemporaryDirectory() as scratch:
        out, err = Path(scratch, "out"), Path(scratch, "err")
        environment = os.environ | variables
        process = start(_run_here, folder, command, code, environment, out, err)
        process.join()
        assert process.exitcode is not None
        return subprocess.CompletedProcess(
            command, process.exitcode, out.read_text("utf-8"), err.read_text("utf-8")
        )


def _run_here(
    folder: Path, command: Sequence[str], code: Path, environment: dict[str, str], *logs: Path
) -> None:
    on_one_core()
    be_stage(folder, command, environment, *logs, code=code)


def be_stage(
    folder: Path,
    command: Sequence[str],
    environment: dict[str, str],
    out: Path,
    err: Path,
    code: Path = REPOSITORY,
) -> None:
    """Turn this process into ``python -m stages.<command>``, at the head of a process group."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for path, stream in ((out, sys.stdout), (err, sys.stderr)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream.fileno())
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    stage, *arguments = command
    module = f"stages.{stage}"
    others = ("pipeline", "stages") if code != REPOSITORY else ()
    for name in list(sys.modules):
        if name == module or name.partition(".")[0] in others:
            del sys.modules[name]
    sys.path.insert(0, str(code))
    sys.argv = [stage, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def on_one_core() -> None:
    """Start no workers: they take longer to start than to do a test's work."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def heed_interrupts() -> None:
    """Let Ctrl-C end what this child runs: ``preexec_fn`` of `subprocess.Popen`.

    In ``nohup make test &`` it is ignored, and children inherit that.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
