"""Whatever ends a run: the next one finishes with the same bytes, and repeats next to nothing."""

import errno
import os
import random
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd
import pytest
import yaml

from pipeline.core import files, tasks
from pipeline.core.params import Params, load_params
from pipeline.core.run import Run
from pipeline.core.stage import run_stage
from pipeline.core.store import CellStore, Checkpoint
from pipeline.training import engine
from pipeline.training.engine import train_grids
from pipeline.training.task import Job
from stages import train
from tests.processes import ALL_CORES, REPOSITORY, be_stage, eventually, start
from tests.training.grids import CPU, run_in_turn, settings, write_data

NAME = "mnist_senn"
DATA, STORE, MODELS = "data/prepared/mnist_5k", "store", "models"
LIMIT = 10**9


def short(epochs: int, lambdas: tuple[float, ...], seeds: tuple[int, ...]) -> Params:
    """With 50 examples 4 steps an epoch, validated after every third."""
    sizes = {"epochs": epochs, "batch_size": 12, "eval_freq": 3, "lr": 0.01}
    changes = {f"experiments.{NAME}.{key}": value for key, value in sizes.items()}
    grid = {"lambda_grid": lambdas, "robust_reg": lambdas[0], "seeds": seeds, "device": "cpu"}
    return settings({**changes, **grid})


def prepare(root: Path, params: Params) -> Path:
    """A workspace in the folder `root`, as stage ``train`` finds it."""
    write_data(NAME, root / DATA, train=50, valid=40)
    (root / "params.yaml").write_text(yaml.safe_dump(params.model_dump(mode="json")))
    return root


def job(root: Path) -> Job:
    store = CellStore(root / STORE, LIMIT)
    params = load_params(root / "params.yaml")
    return Job(Run(params, CPU, (root / DATA).parent, root / MODELS, store), NAME)


def ended(process: Any) -> int | None:
    """The exit code of a process from `start`, once it has ended."""
    process.join(600)
    return process.exitcode


def cells(root: Path) -> dict[str, bytes]:
    """Path and bytes of all cells; what a killed process was writing is none."""
    paths = (root / MODELS).rglob("seed=*.safetensors")
    return {str(path.relative_to(root)): path.read_bytes() for path in paths}


# --- killed at every change of a file ----------------------------------------------------------

# In banks of two cells: one bank, and a cell.
SMALL = short(epochs=3, lambdas=(0.0, 0.01, 1.0), seeds=(7,))


def train_until(root: Path, fatal: int | None = None) -> None:
    """Train here, noting every epoch and every change of a file; die before change `fatal`."""
    epochs = os.open(root / "epochs", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    save, changes = Checkpoint.save, 0

    def noted(self: Checkpoint, tensors: Any, metadata: dict[str, Any]) -> None:
        save(self, tensors, metadata)
        os.write(epochs, f"{metadata['epoch']}\n".encode())

    def fatal_at_last(change: Callable[..., None]) -> Callable[..., None]:
        def change_or_die(file: Path, *arguments: Any) -> None:
            nonlocal changes
            changes += os.path.exists(file)
            if changes == fatal:
                os.kill(os.getpid(), signal.SIGKILL)
            change(file, *arguments)

        return change_or_die

    Checkpoint.save = noted
    engine.pack = lambda cells, *_, **__: [cells[:2], cells[2:]]
    tasks.run_side_by_side = run_in_turn
    os.replace, os.unlink = fatal_at_last(os.replace), fatal_at_last(os.unlink)
    train_grids([job(root)])
    (root / "changes").write_text(str(changes))


@dataclass(frozen=True)
class Killed:
    """What there is after a run that was killed before its `change`-th change, and one more run."""

    change: int
    written: dict[str, bytes]
    unfinished: int
    epochs: list[str]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    """The workspace after training `SMALL` when nothing happens."""
    root = prepare(tmp_path_factory.mktemp("undisturbed"), SMALL)
    assert ended(start(train_until, root)) == 0
    return root


@pytest.fixture(scope="module")
def killed_at_every_change(tmp_path_factory, undisturbed) -> list[Killed]:
    changes = int((undisturbed / "changes").read_text())
    results = []
    for change in range(1, changes + 1):
        root = prepare(tmp_path_factory.mktemp("killed"), SMALL)
        assert ended(start(train_until, root, change)) == -signal.SIGKILL
        assert ended(start(train_until, root)) == 0
        epochs = (root / "epochs").read_text().split()
        unfinished = len(list((root / STORE).glob("unfinished-*")))
        results.append(Killed(change, cells(root), unfinished, epochs))
    return results


def test_killed_at_any_change_of_a_file(killed_at_every_change, undisturbed):
    expected = cells(undisturbed)
    assert len(expected) == 3 and len(killed_at_every_change) > 12
    for killed in killed_at_every_change:
        assert killed.written == expected, f"change {killed.change}"
        assert killed.unfinished == 0, f"change {killed.change}"


def test_no_epoch_that_was_done_is_done_again(killed_at_every_change):
    # What was being done when the run was killed is not noted: at most one epoch of each bank.
    epochs = {killed.change: sorted(killed.epochs) for killed in killed_at_every_change}
    assert all(done == ["1", "1", "2", "2", "3", "3"] for done in epochs.values()), epochs


# --- killed at any moment, and interrupted -----------------------------------------------------

# As DVC runs it, in several banks side by side, by more epochs than the runs that are ended do.
LONG = short(epochs=40, lambdas=(0.0, 1.0), seeds=(7, 8))


class Stage:
    """``python -m stages.train`` in a process group of its own, in the folder `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.log = root / "log"
        self.log.write_bytes(b"")
        where = (os.environ | {"SENN_CELL_STORE": STORE}, ALL_CORES, self.log, self.log)
        self.process = start(be_stage, root, ("train", NAME), REPOSITORY, *where)

    def group(self) -> list[int]:
        """Its processes that are alive; a zombie is dead, only not yet buried."""
        alive = []
        for status in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                name, _, rest = status.read_text().rpartition(")")
                state, _, group = rest.split()[:3]
                if int(group) == self.process.pid and state != "Z":
                    alive.append(int(name.split()[0]))
        return alive

    def progress(self) -> dict[str, int]:
        """The epoch that every bank is known to have finished; of a finished one, none."""
        epochs = {}
        for path in (self.root / STORE).glob("unfinished-*"):
            if (saved := Checkpoint(path).load()) is not None:
                epochs[path.name] = saved[1]["epoch"]
        return epochs

    def changes(self) -> set[tuple[str, int]]:
        times = set()
        for path in (*(self.root / STORE).rglob("*"), *(self.root / MODELS).rglob("*")):
            with suppress(OSError):
                times.add((str(path), path.stat().st_mtime_ns))
        return times

    def is_over(self) -> bool:
        return self.process.exitcode is not None


def test_killed_and_interrupted_at_random_moments(tmp_path, undisturbed_stage):
    """Whoever is killed, nobody goes on writing, and no bank goes back to an earlier epoch."""
    dice = random.Random(2018)
    root, known = prepare(tmp_path, LONG), dict[str, int]()

    def disturb(epochs: int, end: Callable[[Stage], None]) -> str:
        """Run the stage for `epochs` epochs more and a little longer, then `end` it; its log.

        Not before a second bank has made progress: workers may start far apart.
        """
        stage, wanted = Stage(root), sum(known.values()) + epochs

        def done() -> int:
            for name, epoch in stage.progress().items():
                assert epoch >= known.get(name, 0), f"{name} went back to epoch {epoch}"
                known[name] = epoch
            return sum(known.values())

        def far_enough() -> bool:
            return done() >= wanted and len(known) > 1

        assert eventually(lambda: far_enough() or stage.is_over()), stage.log.read_text()
        time.sleep(dice.uniform(0, 0.05))
        assert not stage.is_over(), stage.log.read_text()
        end(stage)
        assert eventually(lambda: not stage.group(), 20), "a process goes on"
        assert ended(stage.process) != 0
        before = stage.changes()
        time.sleep(0.5)
        assert stage.changes() == before, "somebody goes on writing"
        done()
        return stage.log.read_text()

    disturb(dice.randint(1, 3), kill_all)
    disturb(dice.randint(1, 3), lambda stage: stage.process.kill())  # its workers must follow
    printed = disturb(dice.randint(1, 3), interrupt)
    assert "interrupted" in printed.splitlines()
    assert not cells(root), "they ended too late to show anything"

    assert ended(start(run_stage_here, root)) == 0, (root / "log").read_text()
    assert cells(root) == undisturbed_stage


def kill_all(stage: Stage) -> None:
    os.killpg(stage.process.pid, signal.SIGKILL)


def interrupt(stage: Stage) -> None:
    """As Ctrl-C does."""
    os.killpg(stage.process.pid, signal.SIGINT)


@pytest.fixture(scope="module")
def undisturbed_stage(tmp_path_factory) -> dict[str, bytes]:
    root = prepare(tmp_path_factory.mktemp("undisturbed"), LONG)
    assert ended(start(run_stage_here, root)) == 0
    return cells(root)


def run_stage_here(root: Path, largest_file: int | None = None) -> NoReturn:
    """The stage in one process, which can write no file larger than `largest_file` bytes."""
    tasks.run_side_by_side = run_in_turn
    os.chdir(root)
    os.environ["SENN_CELL_STORE"] = STORE
    log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, sys.stdout.fileno())
    os.dup2(log, sys.stderr.fileno())
    sys.argv = ["train", NAME]
    if largest_file is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    run_stage(train.main)
    sys.exit(0)


# --- a full disk -------------------------------------------------------------------------------


def entries(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_no_room_for_a_model(tmp_path, undisturbed):
    # A limit that the kernel enforces, as it does that of a full disk.
    root = prepare(tmp_path, SMALL)
    smallest = min(len(content) for content in cells(undisturbed).values())
    assert ended(start(run_stage_here, root, smallest // 2)) == 1
    first = f"models/{NAME}/lambda=0/seed=7.safetensors"
    assert (root / "log").read_text().splitlines() == [
        "cell store store: File too large; not all that is computed is kept",
        f"error: cannot write {first}: File too large. "
        "Free some space or make the folder writable, then run the same command again.",
    ]
    assert entries(root / MODELS) == entries(root / STORE) == []
    assert ended(start(run_stage_here, root)) == 0
    assert cells(root) == cells(undisturbed)


@pytest.mark.usefixtures("in_this_process")
def test_no_room_in_the_store_only_costs_time(tmp_path, monkeypatch, undisturbed):
    root = prepare(tmp_path, SMALL)
    flush = files._flush_to_disk

    def full(path: Path) -> None:
        if root / STORE in path.parents:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        flush(path)

    monkeypatch.setattr(files, "_flush_to_disk", full)
    train_grids([job(root)])
    assert cells(root) == cells(undisturbed)
    assert entries(root / STORE) == []


# --- damage ------------------------------------------------------------------------------------


def flip(path: Path) -> None:
    """Change the last bit of a file's last number."""
    content = bytearray(path.read_bytes())
    content[-4] ^= 1
    path.write_bytes(content)


def test_a_damaged_checkpoint_is_not_gone_on_with(tmp_path, undisturbed):
    root = prepare(tmp_path, SMALL)
    assert ended(start(train_until, root, 3)) == -signal.SIGKILL
    (path,) = (root / STORE).glob("unfinished-*")
    saved = Checkpoint(path).load()
    assert saved is not None and saved[1]["epoch"] == 2
    flip(path)
    assert ended(start(train_until, root)) == 0
    assert cells(root) == cells(undisturbed)
    assert (root / "epochs").read_text().split()[:3] == ["1", "2", "1"]


@pytest.mark.usefixtures("in_this_process")
def test_damaged_cells_are_trained_again(tmp_path, capsys):
    root = prepare(tmp_path, SMALL)
    (curves,) = train_grids([job(root)])
    expected = cells(root)
    assert "reused" not in capsys.readouterr().out
    damaged, truncated, whole = sorted((root / STORE).iterdir())
    flip(damaged)
    os.truncate(truncated, 100)
    for reused in (1, 3):
        shutil.rmtree(root / MODELS)
        pd.testing.assert_frame_equal(*train_grids([job(root)]), curves)
        assert cells(root) == expected
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == f"{NAME}: {reused} of 3 cells reused from the cell store"
        assert len([line for line in lines if "reused" in line]) == 1
        assert set((root / STORE).iterdir()) == {damaged, truncated, whole}
