import multiprocessing
import os
import signal
import time
from concurrent.futures import wait
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from pipeline.core import workers
from pipeline.core.errors import PipelineError
from pipeline.core.files import atomic_path
from pipeline.core.stage import run_stage
from pipeline.core.workers import run_side_by_side
from tests.processes import eventually, lead_a_group, start

CPU = torch.device("cpu")


def describe(task: int, report) -> tuple[int, int, int]:
    """Of a task: its square, its process, its threads."""
    for epoch in (1, 2):
        report(epoch, task / 10)
    return task**2, os.getpid(), torch.get_num_threads()


def wait_for_a_file(task: Path | None, report) -> None:
    assert task is None or eventually(task.exists)


@pytest.fixture
def one_core(monkeypatch):
    """As if this process might use one core of the machine only."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0})


@pytest.fixture
def two_cores(monkeypatch):
    """As if this process might use two cores, and thus has two workers."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1})


def test_runs_every_task_in_as_many_workers_as_cores_of_one_thread_each(two_cores, monkeypatch):
    reports, waiting = [], []

    def noted(futures, **options):
        waiting.append(len(futures))
        return wait(futures, **options)

    monkeypatch.setattr(workers, "wait", noted)
    tasks = range(5, 55)
    results = dict(run_side_by_side(describe, tasks, CPU, lambda *state: reports.append(state)))
    squares = {index: square for index, (square, _, _) in results.items()}
    assert squares == {index: task**2 for index, task in enumerate(tasks)}
    processes = {process for _, process, _ in results.values()}
    assert len(processes) <= 2 and os.getpid() not in processes
    assert {threads for _, _, threads in results.values()} == {1}
    # Reports name their task. The last may come after the results and be dropped.
    expected = {(i, epoch, (5 + i) / 10) for i in range(50) for epoch in (1, 2)}
    assert set(reports) <= expected
    of_task = [[epoch for i, epoch, _ in reports if i == index] for index in range(50)]
    assert all(epochs in ([], [1], [1, 2]) for epochs in of_task)
    assert max(waiting) == 2 * workers.AHEAD < 50, "few tasks at a time are waited for"


def test_on_one_core_this_process_works_on_one_thread(one_core):
    reports: list[tuple[int, int, float]] = []
    before = torch.get_num_threads()
    results = run_side_by_side(describe, [5, 6], CPU, lambda *state: reports.append(state))
    assert list(results) == [(0, (25, os.getpid(), 1)), (1, (36, os.getpid(), 1))]
    assert reports == [(0, 1, 0.5), (0, 2, 0.5), (1, 1, 0.6), (1, 2, 0.6)]
    assert torch.get_num_threads() == before


def test_results_come_as_tasks_finish_and_giving_up_on_them_ends_the_workers(two_cores, tmp_path):
    file = tmp_path / "first result"
    tasks = [file, None, tmp_path / "never"]
    results = run_side_by_side(wait_for_a_file, tasks, CPU, lambda *state: None)
    assert next(results) == (1, None)  # the first task waits for this result
    file.touch()
    assert next(results) == (0, None)
    results.close()
    assert multiprocessing.active_children() == []


def fail_beside_another(task: tuple[Path, str], report) -> None:
    """The first waits for the second to write a file, and fails while that is half written."""
    folder, role = task
    if role.isdigit():
        folder.with_name(role).touch()
        time.sleep(0.2)
        return
    if role == "writes":
        with atomic_path(folder / "file") as temporary:
            temporary.write_text("half")
            assert not eventually((folder / "never").exists, 600)
    assert eventually(lambda: any(folder.iterdir()))
    if role == "fails":
        raise PipelineError("went wrong")
    os.kill(os.getpid(), signal.SIGKILL)


def test_an_error_is_raised_here_and_nothing_goes_on_or_is_half_written(two_cores, tmp_path):
    folder = tmp_path / "of the two"
    folder.mkdir()
    roles = "fails", "writes", *map(str, range(38))
    tasks = [(folder, role) for role in roles]
    with pytest.raises(PipelineError, match=r"^went wrong$"):
        list(run_side_by_side(fail_beside_another, tasks, CPU, lambda *state: None))
    assert list(folder.iterdir()) == []
    assert multiprocessing.active_children() == []
    begun = len(list(tmp_path.iterdir()))
    time.sleep(0.5)
    assert begun < 39 and len(list(tmp_path.iterdir())) == begun  # nothing goes on behind our back


def test_a_killed_worker_is_an_error_that_says_what_to_do(two_cores, tmp_path):
    tasks = [(tmp_path, "is killed"), (tmp_path, "writes")]
    with pytest.raises(PipelineError, match=r"^a worker process was killed.*memory.*taskset"):
        list(run_side_by_side(fail_beside_another, tasks, CPU, lambda *state: None))
    assert list(tmp_path.iterdir()) == []
    assert multiprocessing.active_children() == []


def test_other_devices_take_turns_in_this_process():
    reports, meta = [], torch.device("meta")
    results = list(run_side_by_side(describe, [5, 6], meta, lambda *state: reports.append(state)))
    threads = torch.get_num_threads()
    assert results == [(0, (25, os.getpid(), threads)), (1, (36, os.getpid(), threads))]
    assert reports == [(0, 1, 0.5), (0, 2, 0.5), (1, 1, 0.6), (1, 2, 0.6)]


def test_no_tasks():
    assert list(run_side_by_side(describe, [], CPU, lambda *state: None)) == []


def write_for_ever(folder: str, report) -> None:
    with atomic_path(Path(folder, str(os.getpid()))) as temporary:
        temporary.write_text("half")
        time.sleep(600)


def be_endless(folder: Path, log: Path) -> None:
    lead_a_group(log, log)
    os.sched_getaffinity = lambda process: {0, 1}
    run_stage(lambda: list(run_side_by_side(write_for_ever, [str(folder)] * 3, CPU, print)))


@pytest.fixture
def endless(tmp_path):
    """A process group of a parent and its two workers, each in the middle of writing a file."""
    folder = tmp_path / "folder"
    folder.mkdir()
    parent = start(be_endless, folder, tmp_path / "log")
    try:
        assert eventually(lambda: len(list(folder.iterdir())) == 2), "no workers began"
        yield parent, folder
    finally:
        with suppress(ProcessLookupError):
            os.killpg(parent.pid, signal.SIGKILL)
        parent.join()


def test_workers_die_with_their_killed_parent(endless):
    parent, folder = endless
    workers = [int(path.name.split(".")[1]) for path in folder.iterdir()]
    assert all(map(alive, workers))
    parent.kill()
    assert eventually(lambda: not any(map(alive, workers))), "a worker outlived its parent"
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("to_the_group", [True, False], ids=["Ctrl-C", "to the parent alone"])
def test_an_interrupt_ends_all_at_once_with_one_word(endless, to_the_group, tmp_path):
    parent, folder = endless
    workers = [int(path.name.split(".")[1]) for path in folder.iterdir()]
    (os.killpg if to_the_group else os.kill)(parent.pid, signal.SIGINT)
    parent.join(60)
    assert (parent.exitcode, (tmp_path / "log").read_text()) == (1, "interrupted\n")
    assert not any(map(alive, workers))
    assert list(folder.iterdir()) == []


def alive(process: int) -> bool:
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"  # a zombie is dead, only not yet buried
