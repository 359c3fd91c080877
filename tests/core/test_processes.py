"""What starting processes takes."""

import multiprocessing
import signal
import subprocess
import sys
from multiprocessing.connection import Connection

from pipeline.core.processes import interrupts_blocked


def tell(channel: Connection) -> None:
    channel.send(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))


def start_two() -> None:
    """Print whether each of two processes, the first that this one starts, holds Ctrl-C back."""
    context = multiprocessing.get_context("spawn")
    for _ in range(2):
        here, there = context.Pipe()
        with interrupts_blocked():
            context.Process(target=tell, args=(there,)).start()
        print(here.recv())
    print(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))


def test_ctrl_c_is_held_back_from_all_processes_and_only_from_them():
    code = f"from {__name__} import start_two; start_two()"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["True", "True", "False"]
