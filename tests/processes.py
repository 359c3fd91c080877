"""Processes of their own for tests, that start in milliseconds and may be killed at any moment."""

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence, Set
from multiprocessing.connection import Listener
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from threading import Thread
from typing import Any

import dvc.cli

REPOSITORY = Path(__file__).resolve().parents[1]
ALL_CORES = frozenset(os.sched_getaffinity(0))
ONE_CORE = frozenset({min(ALL_CORES)})  # on which no stage starts workers only to wait for them

# A server imports the code once, and what that and torch import when first used, and forks.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "tests.training.grids",
        "stages.train",
        "stages.explain",
        "stages.rivals",
        "stages.report",
        "captum.attr",
        "matplotlib.figure",
        "nbconvert",
        "numba",
        "scipy.stats",
        "sklearn.linear_model",
        "torch._dynamo",
        "dvc.cli.parser",
        "dvc.repo.experiments",
    ]
)


# In the place of an interpreter, asks for a process that is forked, and ends as that does.
_ASKING = """#!{python} -IS
import os, sys
from multiprocessing.connection import Client

with Client({address!r}) as there:
    there.send((sys.argv[1:], os.getcwd(), dict(os.environ), os.sched_getaffinity(0), os.getpid()))
    sys.exit(there.recv())
"""


def start(work: Callable[..., None], *arguments: Any) -> ForkServerProcess:
    """Start ``work(*arguments)``, a function of a module, in a process of its own."""
    process = _CONTEXT.Process(target=work, args=arguments)
    process.start()
    return process


def eventually(condition: Callable[[], bool], seconds: float = 60) -> bool:
    """Whether `condition` becomes true; a bound for broken code, not a measurement."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def run(work: Callable[..., None], *arguments: Any) -> subprocess.CompletedProcess[str]:
    """Run ``work(*arguments, out, err)``, where it is to print to these files, to its end."""
    with tempfile.TemporaryDirectory() as scratch:
        out, err = Path(scratch, "out"), Path(scratch, "err")
        process = start(work, *arguments, out, err)
        process.join()
        assert process.exitcode is not None
        said = (path.read_text("utf-8") if path.exists() else "" for path in (out, err))
        return subprocess.CompletedProcess(arguments, process.exitcode, *said)


def run_stage(
    folder: Path, *command: str, code: Path = REPOSITORY, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run ``python -m stages.<command>`` of the repository `code`, in `folder` and on one core.

    `variables` are added to those of the environment.
    """
    return run(be_stage, folder, command, code, os.environ | variables, ONE_CORE)


def run_dvc(
    folder: Path, command: Sequence[str], environment: Mapping[str, str], cores: Set[int]
) -> subprocess.CompletedProcess[str]:
    """Run ``dvc <command>`` in `folder`, with this environment and on these cores."""
    return run(be_dvc, folder, command, environment, cores)


def be_stage(
    folder: Path,
    command: Sequence[str],
    code: Path,
    environment: Mapping[str, str],
    cores: Set[int],
    out: Path,
    err: Path,
) -> None:
    """Turn this process into ``python -m stages.<command>``, at the head of a process group."""
    settle(folder, environment, cores, out, err)
    stage, *arguments = command
    module = f"stages.{stage}"
    others = ("pipeline", "stages") if code != REPOSITORY else ()
    for name in list(sys.modules):
        if name == module or name.partition(".")[0] in others:
            del sys.modules[name]
    sys.path.insert(0, str(code))
    sys.argv = [stage, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def be_dvc(
    folder: Path,
    command: Sequence[str],
    environment: Mapping[str, str],
    cores: Set[int],
    out: Path,
    err: Path,
) -> None:
    """Turn this process into ``dvc <command>``, at the head of a process group."""
    settle(folder, environment, cores, out, err)
    sys.argv = ["dvc", *command]
    sys.exit(dvc.cli.main(list(command)))


def fork_stages(folder: Path) -> None:
    """Put a program ``python`` into `folder` that runs ``python -m stages.<command>``, forked.

    The code is that of the folder where it is called. It serves while the tests run.
    """
    listener = Listener(family="AF_UNIX")
    program = folder / "python"
    program.write_text(_ASKING.format(python=sys.executable, address=listener.address))
    program.chmod(0o755)
    Thread(target=_serve, args=(listener,), daemon=True).start()


def _serve(listener: Listener) -> None:
    """Run one stage after the other, each as whoever asks for it would."""
    while True:
        with listener.accept() as asking:
            (option, module, *arguments), cwd, environment, cores, asker = asking.recv()
            assert option == "-m"
            command, where = (module.removeprefix("stages."), *arguments), Path(cwd)
            files = (Path(f"/proc/{asker}/fd/{number}") for number in (1, 2))
            process = start(be_stage, where, command, where, environment, cores, *files)
            process.join()
            asking.send(process.exitcode)


def settle(
    folder: Path, environment: Mapping[str, str], cores: Set[int], out: Path, err: Path
) -> None:
    """Give this process what a shell gives those that it starts, but a terminal."""
    lead_a_group(out, err)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    os.sched_setaffinity(0, cores)


def lead_a_group(out: Path, err: Path) -> None:
    """Lead a process group that heeds Ctrl-C and prints to these files.

    Its parent may have to ignore Ctrl-C, as in ``nohup make test &``, and children inherit that.
    """
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for path, stream in ((out, sys.stdout), (err, sys.stderr)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream.fileno())
