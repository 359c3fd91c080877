"""A fingerprint must change with everything that can change a cell, and with nothing else."""

import importlib.util
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin

import pytest
import torch
from ruamel.yaml import YAML

from pipeline.core import portable
from pipeline.core.cells import Cell, grid
from pipeline.core.dataset import FILE_NAME
from pipeline.core.fingerprint import TRAINING_CODE, files_of, fingerprint, training_digest
from pipeline.core.fingerprint import WITHOUT_EFFECT as NAMED
from pipeline.core.params import Params, Section
from pipeline.core.run import Run
from pipeline.core.store import CellStore
from pipeline.core.tensors import write_tensors
from pipeline.training.engine import train_grids
from pipeline.training.task import Job
from tests.conftest import REPOSITORY
from tests.test_dvc_yaml import code_of
from tests.training.grids import (
    ARCHITECTURES,
    CPU,
    EXPERIMENTS,
    SMOKE,
    run_in_turn,
    settings,
    write_data,
)

OTHER_DATA = {"mnist_senn": "mnist", "mnist_disenn": "mnist", "reuters_senn": "newsgroups"}
SEEDS = (*SMOKE.seeds, SMOKE.seeds[-1] + 1)


@dataclass(frozen=True)
class Recorder(CellStore):
    """A store that has the cell `folder` for all, and notes the fingerprints it is asked for."""

    limit: int = 0
    asked: dict[Path, str] = field(default_factory=dict)

    def fetch(self, fingerprint: str, destination: Path) -> bool:
        self.asked[destination] = fingerprint
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.folder, destination)
        return True


@dataclass(frozen=True)
class Workspace:
    """Prepared data and pretrained weights, and what cells there are identified by."""

    folder: Path

    def fingerprints(
        self, name: str, params: Params = SMOKE, device: torch.device = CPU
    ) -> dict[Cell, str]:
        store, models = Recorder(self.folder / "any cell"), self.folder / "models"
        run = Run(params, device, self.folder / "prepared" / name, models, store)
        train_grids([Job(run, name)])
        return {cell: store.asked[cell.path(models)] for cell in grid(params, name)}


def prepare(folder: Path) -> Workspace:
    for name in EXPERIMENTS:
        here = folder / "prepared" / name
        for dataset in {SMOKE.experiment(name).dataset, OTHER_DATA.get(name, "")} - {""}:
            write_data(name, here / dataset, train=12, valid=4, test=4)
    for seed in SEEDS:
        write_tensors(folder / f"models/vae/seed={seed}.safetensors", {"w": torch.ones(3)}, {})
    write_tensors(folder / "any cell", {}, {"curve": [{"valid_accuracy": 0.5}]})
    return Workspace(folder)


@pytest.fixture(scope="module")
def fixed(tmp_path_factory) -> Workspace:
    """A workspace that no test changes."""
    return prepare(tmp_path_factory.mktemp("fixed"))


@pytest.fixture(scope="module")
def usual(fixed) -> dict[str, dict[Cell, str]]:
    """The fingerprints of the smoke preset's cells, experiment by experiment."""
    return {name: fixed.fingerprints(name) for name in EXPERIMENTS}


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    """A workspace to change something in."""
    return prepare(tmp_path)


# --- params ------------------------------------------------------------------------------------


class Leaf(NamedTuple):
    """A value of params.yaml: its dotted key, itself, and what the models say it may be."""

    key: str
    value: Any
    kind: Any


def leaves(section: Section, prefix: str = "") -> Iterator[Leaf]:
    """Every value of a section, however deep."""
    for name, info in type(section).model_fields.items():
        value, key = getattr(section, name), f"{prefix}{name}"
        if isinstance(value, Section):
            yield from leaves(value, f"{key}.")
        elif isinstance(value, dict):
            for of, part in value.items():
                yield from leaves(part, f"{key}.{of}.")
        else:
            yield Leaf(key, value, info.annotation)


def sections(kind: Any) -> set[type[Section]]:
    """Every section that a value of type `kind` may have, however deep."""
    if isinstance(kind, type) and issubclass(kind, Section):
        inner = (sections(info.annotation) for info in kind.model_fields.values())
        return {kind}.union(*inner)
    return set().union(*map(sections, get_args(kind)))


def choices(kind: Any) -> Iterator[str]:
    """The words that a value of type `kind` may be."""
    if get_origin(kind) is Literal:
        yield from get_args(kind)
    else:
        yield from chain.from_iterable(map(choices, get_args(kind)))


def others(leaf: Leaf) -> Iterator[Any]:
    """Values that `leaf` may have, for all that its own type says."""
    words = [word for word in choices(leaf.kind) if word != leaf.value]
    match leaf.value:
        case bool():
            yield not leaf.value
        case int():
            yield leaf.value + 1
        case float():
            yield leaf.value / 2 + 1e-6
        case (*front, int() | float() as last):
            yield [*front, last + 1]
        case (*front, str() as last):
            yield from ([*front, last, word] for word in words)
        case ():
            yield [3]
        case None:
            yield from (0.5, [0.01, 0.7])
    yield from words


SMOKE_DIGITS = SMOKE.experiments["mnist_senn"].model_dump()
MLP = {"name": "mlp", "hidden_sizes": [3]}
# Where one value alone cannot change.
TOGETHER: dict[str, dict[str, Any]] = {
    **{f"experiments.{n}.seeds": {f"experiments.{n}.seeds": [SEEDS[0]]} for n in EXPERIMENTS},
    **{
        f"{section}.experiments": {f"{section}.experiments": ["mnist_senn"]}
        for section in ("certify", "explain", "rivals")
    },
    "device": {"device": "auto"},
    "power.experiments": {"power.experiments": []},
    "power.halves": {"power.halves": 12},  # both are even
    "tokenizer.characters": {"tokenizer.characters": 34},
    "tokenizer.dataset": {
        "datasets": ["compas", "mnist_5k", "uci", "reuters_r8", "newsgroups"],
        "tokenizer.dataset": "newsgroups",
    },
    "vae.num_concepts": {"vae.num_concepts": 6, "experiments.mnist_disenn.num_concepts": 6},
    "experiments.mnist_disenn.num_concepts": {
        "experiments.mnist_disenn.num_concepts": 6,
        "vae.num_concepts": 6,
    },
    **{
        key: {
            "datasets": ["compas", "mnist_5k", "mnist", "uci", "reuters_r8"],
            "pretrain.dataset": "mnist",
            "experiments.mnist_disenn.dataset": "mnist",
        }
        for key in ("pretrain.dataset", "experiments.mnist_disenn.dataset")
    },
    "experiments.mnist_senn.dataset": {
        "datasets": ["compas", "mnist_5k", "mnist", "uci", "reuters_r8"],
        "experiments.mnist_senn.dataset": "mnist",
    },
    "experiments.reuters_senn.dataset": {
        "datasets": ["compas", "mnist_5k", "uci", "reuters_r8", "newsgroups"],
        "experiments.reuters_senn.dataset": "newsgroups",
        "experiments.reuters_senn.num_classes": 20,
    },
    **{
        key: {"texts.max_length": 11, "experiments.reuters_senn.num_concepts": 11}
        for key in ("texts.max_length", "experiments.reuters_senn.num_concepts")
    },
    **{
        f"experiments.{n}.parameterizer.name": {f"experiments.{n}.parameterizer": MLP}
        for n in ("mnist_senn", "mnist_disenn", "reuters_senn")
    },
}
# Where the other values or the data leave no choice, or there is none.
SETTLED = {
    *(
        f"experiments.{name}.{key}"
        for name in EXPERIMENTS
        for key in ("aggregator", "conceptizer.name", "entry", "initial_weights", "model_class")
    ),
    *(f"experiments.{name}.num_classes" for name in EXPERIMENTS),
    "experiments.compas_senn.dataset",
    "experiments.compas_senn.num_concepts",
    "experiments.compas_senn.parameterizer.name",
    "experiments.compas_senn.beta",
    "experiments.mnist_senn.beta",
    "experiments.reuters_senn.beta",
    "experiments.mnist_disenn.sparsity_reg",
}


def fitting(changes: dict[str, Any]) -> bool:
    try:
        settings(changes)
    except ValueError:
        return False
    return True


def another(leaf: Leaf) -> dict[str, Any] | None:
    """Changes that give `leaf` another value, or None if there are none."""
    if leaf.key in TOGETHER:
        return TOGETHER[leaf.key]
    alone = ({leaf.key: value} for value in others(leaf))
    return next(filter(fitting, alone), None)


@cache  # dvc.yaml takes a tenth of a second to read
def read_by(name: str) -> set[str]:
    """Keys and sections of params.yaml that decide what a cell of experiment `name` becomes.

    Those that dvc.yaml says its stage reads, and those that reach it through the pretrained
    weights; not those that say which cells there are.
    """
    pipeline = YAML(typ="safe", pure=True).load(REPOSITORY / "dvc.yaml")
    train = pipeline["stages"]["train"]["do"]
    declared = {key.replace("${key}", name) for key in train["params"]}
    pretrained = {"vae"} if SMOKE.experiments[name].model_class == "DiSENN" else set()
    return declared - {"robust_reg", "lambda_grid", "seeds"} | pretrained


def decides(key: str, name: str) -> bool:
    """Whether a cell of experiment `name` depends on the value of `key`."""
    of_a_section = any(inside(section, key) for section in read_by(name))
    return of_a_section and key not in {f"experiments.{name}.{k}" for k in ("lambda_grid", "seeds")}


# The tables of UCI are trained as COMPAS is.
LEAVES = [leaf for leaf in leaves(SMOKE) if not leaf.key.startswith("experiments.uci_")]
CHANGES = {leaf.key: changes for leaf in LEAVES if (changes := another(leaf))}


def test_every_value_that_params_may_have_is_looked_at():
    seen = {type(section) for section in walk(SMOKE)}
    assert seen == sections(Params), "the smoke preset has no example of it"
    assert {leaf.key for leaf in LEAVES} - CHANGES.keys() == SETTLED


def walk(section: Section) -> Iterator[Section]:
    yield section
    for value in vars(section).values():
        for part in value.values() if isinstance(value, dict) else [value]:
            if isinstance(part, Section):
                yield from walk(part)


@pytest.mark.parametrize("key", CHANGES)
def test_a_value_that_decides_changes_it_and_no_other_does(fixed, usual, key):
    params = settings(CHANGES[key])
    for name, before in usual.items():
        after = fixed.fingerprints(name, params)
        both = before.keys() & after.keys()
        changed = {cell for cell in both if before[cell] != after[cell]}
        decided = any(decides(k, name) for k in CHANGES[key])
        assert both and changed == (both if decided else set()), name


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_what_does_not_change_it_does_not_change_a_byte(tmp_path, name):
    """Nothing is missing from the fingerprint: with all other values changed, the same cells."""
    write_data(name, tmp_path / SMOKE.experiment(name).dataset, train=50, valid=40)
    sizes = {f"experiments.{name}.{key}": 12 for key in ("batch_size", "eval_freq")}
    for seed in SEEDS if name == "mnist_disenn" else ():
        vae = ARCHITECTURES[name].senn(seed).conceptizer
        write_tensors(tmp_path / f"vae/seed={seed}.safetensors", vae.state_dict(), {})

    def cells(changes: dict[str, Any], folder: str) -> dict[Cell, bytes]:
        params, models = settings({**sizes, **changes}), tmp_path / folder
        if (tmp_path / "vae").exists():
            shutil.copytree(tmp_path / "vae", models / "vae")
        train_grids([Job(Run(params, CPU, tmp_path, models), name)])
        return {cell: cell.path(models).read_bytes() for cell in grid(params, name)}

    harmless = [c for c in CHANGES.values() if not any(decides(key, name) for key in c)]
    assert len(harmless) > len(CHANGES) / 2
    expected = cells({}, "models")
    for number, changes in enumerate(together(harmless)):
        others = cells(changes, f"other models {number}")
        both = expected.keys() & others.keys()
        assert both and {c: others[c] for c in both} == {c: expected[c] for c in both}, changes


def together(changes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As few sets of changes as they fit into, one after the other."""
    merged: list[dict[str, Any]] = []
    for one in changes:
        for several in merged:
            if not any(inside(a, b) for a in several for b in one) and fitting(several | one):
                several |= one
                break
        else:
            merged.append(dict(one))
    return merged


def inside(one: str, other: str) -> bool:
    """Whether one of two keys is the other's, or within it."""
    return f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")


def test_every_cell_has_its_own(fixed):
    wide = settings({"lambda_grid": [0.0, 1e-6, 0.1, 1.0]})
    fingerprints = [one for name in EXPERIMENTS for one in fixed.fingerprints(name, wide).values()]
    assert len(fingerprints) == 4 * 5 * 2 == len(set(fingerprints))


REUSED: dict[str, tuple[dict[str, Any], int, int]] = {
    "nothing": ({}, 4, 4),
    "another λ": ({"lambda_grid": [0.0001, 0.01, 0.5]}, 4, 6),
    "another headline": ({"robust_reg": 0.5}, 4, 6),
    "fewer and other seeds": ({"seeds": [555, 333]}, 2, 4),
    "another experiment": ({"experiments.mnist_senn.lr": 0.5, "vae.target": "unit"}, 4, 4),
    "the learning rate": ({"experiments.compas_senn.lr": 0.02}, 0, 4),
    "one more epoch": ({"experiments.compas_senn.epochs": 2}, 0, 4),
    "the robustness loss": ({"robustness.probes": "exact"}, 0, 4),
}


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize(("changes", "reused", "cells"), REUSED.values(), ids=REUSED.keys())
def test_cells_reused_after_a_change(trained, tmp_path, capsys, changes, reused, cells):
    assert counted(trained, tmp_path, capsys, changes) == (reused, cells)


@pytest.mark.usefixtures("in_this_process")
def test_cells_reused_after_other_changes(trained, tmp_path, capsys, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(torch, "__version__", "2.99.0")
        assert counted(trained, tmp_path / "torch", capsys, {}) == (0, 4)
    with monkeypatch.context() as patch:
        patch.setattr("pipeline.core.fingerprint.training_digest", lambda: "changed")
        assert counted(trained, tmp_path / "code", capsys, {}) == (0, 4)
    data = shutil.copytree(trained / "data", tmp_path / "other/data").parent
    flip_last_bit(data / "data/compas" / FILE_NAME)
    shutil.copytree(trained / "store", data / "store")
    assert counted(data, tmp_path / "data", capsys, {}) == (0, 4)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A folder with a small table, and a store with the 4 cells trained on it."""
    folder = tmp_path_factory.mktemp("trained")
    write_data("compas_senn", folder / "data/compas", train=50, valid=40)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.core.tasks.run_side_by_side", run_in_turn)
        train_grids([small_job(folder, folder / "models", {})])
    return folder


def small_job(folder: Path, models: Path, changes: dict[str, Any]) -> Job:
    sizes = {"batch_size": 12, "eval_freq": 12, "epochs": 1}
    params = settings({f"experiments.compas_senn.{k}": v for k, v in sizes.items()} | changes)
    store = CellStore(folder / "store", 10**9)
    return Job(Run(params, CPU, folder / "data", models, store), "compas_senn")


def counted(folder: Path, scratch: Path, capsys: Any, changes: dict[str, Any]) -> tuple[int, int]:
    """Of how many cells how many the log says were reused, in a run with a copy of the store."""
    shutil.copytree(folder / "store", scratch / "store")
    shutil.copytree(folder / "data", scratch / "data")
    this = small_job(scratch, scratch / "models", changes)
    cells = this.grid()
    capsys.readouterr()
    train_grids([this])
    assert all(cell.path(this.models).exists() for cell in cells)
    said = re.findall(r"(\d+) of (\d+) cells reused from the cell store", capsys.readouterr().out)
    assert len(said) <= 1, "one line says it"
    reused, total = said[0] if said else (0, len(cells))
    return int(reused), int(total)


# --- data, initial weights, torch, device ------------------------------------------------------


def flip_last_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_data_change_it(workspace, name):
    before = workspace.fingerprints(name)
    data = workspace.folder / "prepared" / name / SMOKE.experiment(name).dataset
    flip_last_bit(data / FILE_NAME)
    after = workspace.fingerprints(name)
    assert all(before[cell] != after[cell] for cell in before)


def test_pretrained_weights_change_it_for_their_seed(workspace):
    before = {name: workspace.fingerprints(name) for name in EXPERIMENTS}
    write_tensors(workspace.folder / "models/vae/seed=111.safetensors", {"w": torch.zeros(3)}, {})
    after = {name: workspace.fingerprints(name) for name in EXPERIMENTS}
    changed = {c for name in EXPERIMENTS for c in before[name] if before[name][c] != after[name][c]}
    assert changed == {cell for cell in before["mnist_disenn"] if cell.seed == 111}


def test_torchs_version_changes_it(fixed, usual, monkeypatch):
    before = usual["compas_senn"]
    monkeypatch.setattr(torch, "__version__", "2.99.0+cpu")
    after = fixed.fingerprints("compas_senn")
    assert all(before[cell] != after[cell] for cell in before)


def test_torchs_build_changes_it_on_a_gpu_only(fixed, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H100")
    pairs = []
    for build in ("2.99.0+cpu", "2.99.0+cu130"):
        monkeypatch.setattr(torch, "__version__", build)
        pairs.append(
            [fixed.fingerprints("compas_senn", device=d) for d in (CPU, torch.device("cuda"))]
        )
    (one, one_gpu), (other, other_gpu) = pairs
    assert one == other
    assert all(one_gpu[cell] != other_gpu[cell] for cell in one_gpu)


@pytest.mark.parametrize("package", ["numba", "numpy", "scipy"])
def test_versions_of_libraries_change_it(fixed, usual, monkeypatch, package):
    monkeypatch.setattr(
        "pipeline.core.fingerprint.version",
        lambda name: "99" if name == package else version(name),
    )
    after = fixed.fingerprints("compas_senn")
    assert all(usual["compas_senn"][cell] != after[cell] for cell in after)


def test_the_code_changes_it(fixed, usual, monkeypatch):
    before = usual["compas_senn"]
    monkeypatch.setattr("pipeline.core.fingerprint.training_digest", lambda: "changed")
    after = fixed.fingerprints("compas_senn")
    assert all(before[cell] != after[cell] for cell in before)


def test_what_the_processor_can_do_changes_it(fixed, usual, monkeypatch):
    before = usual["compas_senn"]
    monkeypatch.setattr(portable, "IN_FORCE", False)
    after = fixed.fingerprints("compas_senn")
    assert all(before[cell] != after[cell] for cell in before)


def test_the_kind_of_device_changes_it_and_its_index_does_not(fixed, usual, monkeypatch):
    names = {0: "NVIDIA H100", 1: "NVIDIA H100", 2: "NVIDIA A100"}
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: names[device.index])
    h100, same, a100 = (
        fixed.fingerprints("compas_senn", device=torch.device("cuda", i)) for i in range(3)
    )
    on_cpu = usual["compas_senn"]
    assert h100 == same
    assert all(len({h100[cell], a100[cell], on_cpu[cell]}) == 3 for cell in on_cpu)


def test_the_order_of_determinants_does_not_matter():
    one = fingerprint({"seed": 1, "params": {"a": 1, "b": [1, 2]}})
    assert fingerprint({"params": {"b": [1, 2], "a": 1}, "seed": 1}) == one
    assert fingerprint({"params": {"b": [2, 1], "a": 1}, "seed": 1}) != one
    assert len(one) == 64 and set(one) <= set("0123456789abcdef")


# --- code --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Library:
    """A copy of the library's code, and the digest that it would say is its own."""

    folder: Path

    def digest(self) -> str:
        source = self.folder / "core/fingerprint.py"
        spec = importlib.util.spec_from_file_location("copied_fingerprint", source)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.training_digest()

    def digest_with(self, text: str, *paths: str) -> str:
        """The digest with `text` appended to these files."""
        before = {path: (self.folder / path).read_text(encoding="utf-8") for path in paths}
        for path, code in before.items():
            (self.folder / path).write_text(code + text, encoding="utf-8")
        digest = self.digest()
        for path, code in before.items():
            (self.folder / path).write_text(code, encoding="utf-8")
        return digest


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Library:
    folder = tmp_path_factory.mktemp("library") / "pipeline"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(REPOSITORY / "pipeline", folder, ignore=ignored)
    return Library(folder)


# What training imports and its weights cannot depend on, for the reasons given in fingerprint.py.
WITHOUT_EFFECT = {
    "core/cluster.py",  # carries tasks and results; says who may compute
    "core/errors.py",
    "core/files.py",
    "core/params.py",
    "core/params_choices.py",  # what it chooses, values and entry points, is in the fingerprint
    "core/params_errors.py",
    "core/params_tables.py",
    "core/params_types.py",
    "core/processes.py",  # counts cores, on which no result depends, and holds Ctrl-C back
    "core/run.py",  # says where files are
    "core/store.py",  # gives back the same bytes, or none
    "core/stage.py",  # refuses to run with other versions, which are in the fingerprint
    "core/tasks.py",  # has them run here, or there
    "training/progress.py",
}


def code_that_trains() -> set[str]:
    pipeline = REPOSITORY / "pipeline"
    names = {p.relative_to(pipeline).as_posix() for p in code_of("train") if pipeline in p.parents}
    return names - WITHOUT_EFFECT


def test_all_code_that_the_stage_imports_is_training_code_or_named():
    # A file of training that the stage does not import, as pretraining's, may count too.
    training_code = files_of(TRAINING_CODE, NAMED)
    assert training_code >= code_that_trains()
    assert not training_code & WITHOUT_EFFECT


@pytest.mark.parametrize("path", sorted(code_that_trains()))
def test_a_line_of_training_code_changes_it(library, path):
    assert library.digest_with("\n\nONE_MORE = 1\n", path) != training_digest()


def test_comments_in_training_code_do_not_change_it(library):
    with_comments = library.digest_with("\n\n\n# one more comment\n", *code_that_trains())
    assert with_comments == training_digest()


def test_a_changed_number_changes_it(library):
    path = library.folder / "models/layers.py"
    text = path.read_text(encoding="utf-8")
    assert "1 / math.sqrt(inputs)" in text
    path.write_text(text.replace("1 / math.sqrt(inputs)", "2 / math.sqrt(inputs)"), "utf-8")
    assert library.digest() != training_digest()
    path.write_text(text, "utf-8")
    assert library.digest() == training_digest()


@pytest.mark.parametrize("folder", ["models", "models/layers", "training", "training/a/b"])
def test_a_renamed_and_an_added_file_change_it(library, folder):
    folder = library.folder / folder
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "attention.py").write_text("HEADS = 8\n")
    added = library.digest()
    (folder / "attention.py").rename(folder / "attentions.py")
    renamed = library.digest()
    (folder / "attentions.py").unlink()
    assert len({training_digest(), added, renamed}) == 3
    assert library.digest() == training_digest()


def test_code_that_does_not_train_does_not_change_it(library):
    paths = *WITHOUT_EFFECT, "data/compas.py", "reporting/claims.py"
    assert library.digest_with("\nONE_MORE = 1\n", *paths) == training_digest()
