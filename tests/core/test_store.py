"""The cell store: what is kept is found again whole, or not at all; only time is ever lost."""

import errno
import hashlib
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pipeline.core import files
from pipeline.core import store as library
from pipeline.core.errors import PipelineError
from pipeline.core.store import CellStore, Checkpoint
from tests.processes import start

DAY = 24 * 3600
SIZE = 1_000
ENDLESS = 10**12


def fingerprint(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def content(name: str, size: int = SIZE) -> bytes:
    """Of an entry that has `size` bytes with its digest."""
    return random.Random(name).randbytes(size - 32)


@pytest.fixture
def store(tmp_path) -> CellStore:
    return CellStore(tmp_path / "store", ENDLESS)


@pytest.fixture
def keep(tmp_path) -> Callable[..., Path]:
    """``keep(store, name, age)``: store the cell `name`, used `age` seconds ago; its entry.

    Then the store shrinks to its limit.
    """

    def keep(store: CellStore, name: str, age: float = 0, size: int = SIZE) -> Path:
        store.keep(fingerprint(name), content(name, size))
        entry = used(store.folder / f"{fingerprint(name)}.cell", age)
        store.shrink()
        return entry

    return keep


def used(path: Path, age: float) -> Path:
    """Make `path` one that was last used `age` seconds ago."""
    os.utime(path, (time.time() - age,) * 2)
    return path


def fetched(store: CellStore, name: str, folder: Path) -> bytes | None:
    """What the store has of the cell `name`."""
    destination = folder / "fetched" / name
    if not store.fetch(fingerprint(name), destination):
        assert not destination.exists()
        return None
    return destination.read_bytes()


def there(store: CellStore, *names: str) -> set[str]:
    """Which of the cells `names` the store has."""
    return {name for name in names if (store.folder / f"{fingerprint(name)}.cell").exists()}


# --- finding again -----------------------------------------------------------------------------


def test_what_is_kept_is_found_and_nothing_else(store, keep, tmp_path):
    assert fetched(store, "a", tmp_path) is None
    keep(store, "a")
    keep(store, "b")
    assert fetched(store, "a", tmp_path) == content("a")
    assert fetched(store, "b", tmp_path) == content("b")
    assert fetched(store, "c", tmp_path) is None
    assert len(list(store.folder.iterdir())) == 2  # and no temporary file


def test_what_is_there_is_not_stored_again(store, keep, tmp_path):
    entry = keep(store, "a")
    before = entry.stat().st_ino
    assert not store.keep(fingerprint("a"), content("a"))
    assert entry.stat().st_ino == before
    entry.write_bytes(entry.read_bytes()[:-1])  # damaged
    assert store.keep(fingerprint("a"), content("a"))
    assert fetched(store, "a", tmp_path) == content("a")


def test_a_store_that_is_off(tmp_path):
    store = CellStore(None, 1)
    store.keep(fingerprint("a"), content("a"))
    assert fetched(store, "a", tmp_path) is None
    checkpoint = store.checkpoint(fingerprint("bank"))
    checkpoint.save({"weights": torch.ones(3)}, {})
    assert checkpoint.load() is None
    checkpoint.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_cell_that_cannot_be_written_is_the_runs_problem(store, keep, tmp_path):
    keep(store, "a")
    (tmp_path / "file").touch()
    with pytest.raises(PipelineError, match=r"^cannot write .*/file/cell: "):
        store.fetch(fingerprint("a"), tmp_path / "file/cell")
    assert there(store, "a")


# --- damage ------------------------------------------------------------------------------------


def flip(place: int) -> Callable[[Path], None]:
    def damage(entry: Path) -> None:
        damaged = bytearray(entry.read_bytes())
        damaged[place] ^= 1
        entry.write_bytes(damaged)

    return damage


DAMAGES: dict[str, Callable[[Path], object]] = {
    "a bit at the start": flip(0),
    "a bit in the middle": flip(SIZE // 2),
    "a bit at the end": flip(-1),
    "truncated": lambda entry: os.truncate(entry, SIZE - 1),
    "extended": lambda entry: os.truncate(entry, SIZE + 1),
    "empty": lambda entry: os.truncate(entry, 0),
    "another cell's content": lambda entry: entry.write_bytes(content("b")),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_cell_is_removed_and_not_found(store, keep, tmp_path, damage):
    keep(store, "b")
    damage(keep(store, "a"))
    assert fetched(store, "a", tmp_path) is None
    assert there(store, "a", "b") == {"b"}
    keep(store, "a")
    assert fetched(store, "a", tmp_path) == content("a")


def test_another_cells_file_under_this_ones_name(store, keep, tmp_path):
    entry = keep(store, "b")
    entry.rename(entry.with_name(entry.name.replace(fingerprint("b"), fingerprint("a"))))
    assert fetched(store, "a", tmp_path) is None
    assert not there(store, "a", "b")


def test_what_was_measured_is_found_as_it_was(store, keep):
    value = {"accuracy": 0.1 + 0.2, "undefined": float("inf"), "count": 3, "curve": [1e-300, 1.0]}
    assert store.measured(fingerprint("a")) is None
    keep(store, "a")  # a cell of the same name is something else
    assert store.measured(fingerprint("a")) is None
    store.keep_measured(fingerprint("a"), value)
    assert store.measured(fingerprint("a")) == value
    (entry,) = store.folder.glob("*.measured")
    flip(-1)(entry)
    assert store.measured(fingerprint("a")) is None and not entry.exists()


def test_what_is_no_file_is_no_cell(store, keep, tmp_path):
    entry = keep(store, "a")
    entry.unlink()
    entry.mkdir()
    assert fetched(store, "a", tmp_path) is None


# --- size --------------------------------------------------------------------------------------


def test_the_least_recently_used_goes_first(tmp_path, keep):
    store = CellStore(tmp_path / "store", 3 * SIZE)
    for age, name in enumerate("cba", start=1):
        keep(store, name, age * 100)
    assert there(store, *"abc") == set("abc")  # the limit itself is not beyond it
    assert fetched(store, "a", tmp_path)  # the oldest, but now the last used
    keep(store, "d")
    assert there(store, *"abcd") == set("acd")
    keep(store, "e")
    assert there(store, *"abcde") == set("ade")


def test_as_many_go_as_must(tmp_path, keep):
    store = CellStore(tmp_path / "store", 3 * SIZE)
    for age, name in enumerate("abc"):
        keep(store, name, age * 100 + 100)
    keep(store, "large", size=2 * SIZE)
    assert there(store, *"abc", "large") == {"a", "large"}


def test_what_was_used_last_stays(tmp_path, keep):
    store = CellStore(tmp_path / "store", SIZE)
    keep(store, "a")
    keep(store, "large", age=-1, size=2 * SIZE)  # beyond the limit all alone
    assert there(store, "a", "large") == {"large"}


def unfinished(store: CellStore, name: str) -> list[Path]:
    """A checkpoint, and what killed processes left of a checkpoint and of a cell."""
    checkpoint = store.checkpoint(fingerprint(name))
    checkpoint.save({"weights": torch.ones(3)}, {})
    assert checkpoint.path is not None
    cell = f"{fingerprint(name)}.cell"
    parts = [store.folder / f".{file}.a_b0c1d2.part" for file in (checkpoint.path.name, cell)]
    for path in parts:
        path.write_bytes(content(name))
    return [checkpoint.path, *parts]


def test_what_others_are_writing_stays_and_what_nobody_writes_any_more_goes(tmp_path, keep):
    store = CellStore(tmp_path / "store", SIZE)
    fresh = [used(path, DAY - 100) for path in unfinished(store, "slow")]
    stale = [used(path, DAY + 100) for path in unfinished(store, "killed")]
    keep(store, "a", age=100)
    assert all(path.exists() for path in fresh)
    assert not any(path.exists() for path in stale)
    keep(store, "b")  # unfinished banks count: there is room for no second cell
    assert there(store, "a", "b") == {"b"}


def test_a_killed_runs_state_is_kept_while_there_is_room(store, keep):
    state, *_ = (used(path, 30 * DAY) for path in unfinished(store, "killed"))
    keep(store, "a")
    assert state.exists()


def test_nobody_elses_files_are_touched(tmp_path, keep):
    store = CellStore(tmp_path / "store", 1)
    others = ["llama.safetensors", f"{fingerprint('a')}.safetensors", ".bashrc", "a.cell"]
    store.folder.mkdir()
    for name in others:
        (store.folder / name).write_bytes(content(name))
        used(store.folder / name, 100 * DAY)
    keep(store, "a", age=1)
    keep(store, "b")
    assert there(store, "a", "b") == {"b"}
    assert all((store.folder / name).read_bytes() == content(name) for name in others)


# --- a store that cannot be written ------------------------------------------------------------


def test_no_store_can_be_there(tmp_path, capfd):
    (tmp_path / "file").touch()
    store = CellStore(tmp_path / "file/store", ENDLESS)
    said = f"cell store {store.folder}: Not a directory; not all that is computed is kept\n"
    for expected in (said, ""):  # once
        store.keep(fingerprint("a"), content("a"))
        assert capfd.readouterr().err == expected
        checkpoint = store.checkpoint(fingerprint("bank"))
        checkpoint.save({"weights": torch.ones(3)}, {})
        assert checkpoint.load() is None
        checkpoint.remove()
        assert fetched(store, "a", tmp_path) is None
    assert capfd.readouterr().err == ""


def test_the_stores_disk_is_full(store, keep, tmp_path, monkeypatch, capfd):
    keep(store, "a")
    checkpoint = store.checkpoint(fingerprint("bank"))
    checkpoint.save({"weights": torch.ones(3)}, {"epoch": 1})
    before = {path.name: path.read_bytes() for path in store.folder.iterdir()}

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files, "_flush_to_disk", full)
    checkpoint.save({"weights": torch.zeros(3)}, {"epoch": 2})
    said = f"cell store {store.folder}: No space left on device; not all that is computed is kept\n"
    assert capfd.readouterr().err == said
    store.keep(fingerprint("b"), content("b"))
    assert {path.name: path.read_bytes() for path in store.folder.iterdir()} == before


# --- unfinished banks --------------------------------------------------------------------------

STATE = {
    "weights": torch.arange(6, dtype=torch.float32).reshape(1, 2, 3),
    "adam.step": torch.tensor(3.0),
    "best.step": torch.tensor([[1, 2]]),
}
METADATA = {"epoch": 3, "rows": [{"step": 1}]}


def same(saved: tuple[dict[str, Tensor], dict[str, Any]] | None) -> bool:
    assert saved is not None
    tensors, metadata = saved
    return (
        tensors.keys() == STATE.keys()
        and all(torch.equal(tensors[name], value) for name, value in STATE.items())
        and all(tensors[name].dtype == value.dtype for name, value in STATE.items())
        and metadata == METADATA
    )


@pytest.fixture
def checkpoint(store) -> Checkpoint:
    checkpoint = store.checkpoint(fingerprint("bank"))
    checkpoint.save(STATE, METADATA)
    return checkpoint


def test_a_checkpoint_holds_what_was_saved(checkpoint):
    assert same(checkpoint.load())
    assert same(checkpoint.load())
    checkpoint.remove()
    assert checkpoint.load() is None
    checkpoint.remove()  # another process was faster


@pytest.mark.parametrize(
    "state",
    [torch.arange(6.0).reshape(2, 3).T, torch.ones(1, 64)[:, 0], torch.tensor(2.0)],
    ids=["transposed", "of a bank of one cell", "a number"],
)
def test_a_checkpoint_of_strided_tensors(store, state):
    checkpoint = store.checkpoint(fingerprint("bank"))
    checkpoint.save({"weights": state}, {})
    saved = checkpoint.load()
    assert saved is not None and torch.equal(saved[0]["weights"], state)


def test_no_single_bit_of_a_checkpoint_can_change_unnoticed(checkpoint):
    whole = checkpoint.path.read_bytes()
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        checkpoint.path.write_bytes(damaged)
        assert checkpoint.load() is None, f"byte {place}"


@pytest.mark.parametrize("length", [0, 7, 100, -1])
def test_a_truncated_checkpoint(checkpoint, length):
    checkpoint.path.write_bytes(checkpoint.path.read_bytes()[:length])
    assert checkpoint.load() is None


def test_another_banks_checkpoint(checkpoint, store):
    other = store.checkpoint(fingerprint("another bank"))
    checkpoint.path.rename(other.path)
    assert other.load() is None


# --- several processes -------------------------------------------------------------------------

PROCESSES, OPERATIONS = 4, 400
NAMES = "abcdefgh"


def size_of(name: str) -> int:
    return 300_000 + 50_000 * NAMES.index(name)


def use(root: Path, number: int) -> None:
    """Use the store at random; what is found must be whole, and nothing is complained of."""
    library._say_once = pytest.fail
    dice = random.Random(number)
    store = CellStore(root / "store", 4 * size_of("h"))
    cell, loads = root / f"cell {number}", {True: 0, False: 0}
    checkpoint = store.checkpoint(fingerprint("bank"))
    for _ in range(OPERATIONS):
        name = dice.choice(NAMES)
        match dice.choice(["keep", "fetch", "fetch", "checkpoint"]):
            case "keep":
                store.keep(fingerprint(name), content(name, size_of(name)))
                store.shrink()
            case "fetch":
                is_there = store.fetch(fingerprint(name), cell)
                assert not is_there or cell.read_bytes() == content(name, size_of(name))
                loads[is_there] += 1
            case "checkpoint":
                checkpoint.save({"weights": torch.full((9,), number)}, {"epoch": number})
                if (saved := checkpoint.load()) is not None:
                    tensors, metadata = saved
                    assert (tensors["weights"] == metadata["epoch"]).all()
                checkpoint.remove()
    assert all(count > 20 for count in loads.values()), f"neither rare nor certain: {loads}"
    cell.unlink(missing_ok=True)


def test_several_processes_at_once(tmp_path):
    running = [start(use, tmp_path, number) for number in range(PROCESSES)]
    for process in running:
        process.join(60)
    assert [process.exitcode for process in running] == [0] * PROCESSES
    store = CellStore(tmp_path / "store", ENDLESS)
    entries = [path for path in store.folder.iterdir()]
    assert all(path.name[0] != "." for path in entries), "a temporary file was left"
    whole = [fetched(store, name, tmp_path) for name in NAMES]
    assert all(one in (None, content(n, size_of(n))) for n, one in zip(NAMES, whole, strict=True))
    assert len(entries) == len(there(store, *NAMES)), "a damaged or another file"


# --- where it is, and how large ----------------------------------------------------------------


@pytest.fixture
def variables(monkeypatch, tmp_path):
    """``variables(NAME=value)``: the environment variables that matter, and no others."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("SENN_CELL_STORE", "SENN_CELL_STORE_GB", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)

    def put(**values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    return put


def test_the_default_is_in_the_users_cache(variables, tmp_path):
    assert CellStore.from_environment() == CellStore(
        tmp_path / "home/.cache/senn/cells", 5_000_000_000
    )
    variables(SENN_CELL_STORE="", SENN_CELL_STORE_GB="", XDG_CACHE_HOME="")  # as good as unset
    assert CellStore.from_environment().folder == tmp_path / "home/.cache/senn/cells"
    variables(XDG_CACHE_HOME="/cache")
    assert CellStore.from_environment().folder == Path("/cache/senn/cells")


@pytest.mark.parametrize(
    ("place", "folder"),
    [("/store", "/store"), ("cells/here", "cells/here"), ("~/cells", "home/cells")],
)
def test_it_is_where_it_is_told_to_be(variables, tmp_path, place, folder):
    variables(SENN_CELL_STORE=place)
    expected = tmp_path / folder if place.startswith("~") else Path(folder)
    assert CellStore.from_environment().folder == expected


@pytest.mark.parametrize("word", ["off", "Off", "OFF"])
def test_it_can_be_switched_off(variables, word):
    variables(SENN_CELL_STORE=word)
    assert CellStore.from_environment().folder is None


@pytest.mark.parametrize(("size", "limit"), [("2", 2 * 10**9), ("0.5", 5 * 10**8), ("1e-9", 1)])
def test_its_size(variables, size, limit):
    variables(SENN_CELL_STORE_GB=size)
    assert CellStore.from_environment().limit == limit


@pytest.mark.parametrize("size", ["0", "-1", "five", "5 GB", "nan", "inf", "-inf", "1e-12", " "])
@pytest.mark.parametrize("place", ["", "off"])
def test_a_size_that_is_none(variables, size, place):
    variables(SENN_CELL_STORE=place, SENN_CELL_STORE_GB=size)
    message = rf"^SENN_CELL_STORE_GB must be a number > 0 of gigabytes, got '{size}'$"
    with pytest.raises(PipelineError, match=message):
        CellStore.from_environment()


def test_no_such_home(variables):
    variables(SENN_CELL_STORE="~nobody-of-this-name/cells")
    with pytest.raises(PipelineError, match=r"^SENN_CELL_STORE: ~nobody-of-this-name/cells .*off"):
        CellStore.from_environment()
