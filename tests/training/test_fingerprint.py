"""A fingerprint must change with everything that can change a cell, and with nothing else."""

import importlib.util
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.data.dataset import FILE_NAME
from pipeline.params import Params
from pipeline.training.cells import Cell, save_weights
from pipeline.training.engine import Job, train_grid
from pipeline.training.fingerprint import fingerprint
from pipeline.training.store import CellStore
from tests.conftest import REPOSITORY
from tests.training.grids import CPU, EXPERIMENTS, SMOKE, settings, write_data


@dataclass(frozen=True)
class Recorder(CellStore):
    """A store that has every cell, and notes under which fingerprints they were asked for."""

    folder: Path | None = None
    limit: int = 0
    asked: dict[Path, str] = field(default_factory=dict)

    def fetch(self, fingerprint: str, destination: Path) -> bool:
        self.asked[destination] = fingerprint
        save_weights(destination, {}, {"curve": [{"valid_accuracy": 0.5}]})
        return True


@dataclass(frozen=True)
class Workspace:
    """Prepared data and pretrained weights, and what cells there are identified by."""

    folder: Path

    def fingerprints(
        self, name: str, params: Params = SMOKE, device: torch.device = CPU
    ) -> dict[Cell, str]:
        store, models = Recorder(), self.folder / "models"
        data, vaes = self.folder / name, self.folder / "vae"
        train_grid(Job(params, name, device, data, vaes, models, store))
        lambdas = {cell.path(models): cell for cell in cells(params, name)}
        return {lambdas[path]: found for path, found in store.asked.items()}


def cells(params: Params, name: str) -> list[Cell]:
    return [Cell(name, reg, seed) for reg in params.lambdas(name) for seed in params.seeds]


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    for name in EXPERIMENTS:
        write_data(name, tmp_path / name, train=12, valid=4, test=4)
    for seed in SMOKE.seeds:
        save_weights(tmp_path / f"vae/seed={seed}.safetensors", {"w": torch.ones(seed % 7)}, {})
    return Workspace(tmp_path)


# --- params ------------------------------------------------------------------------------------

# Where the next value of its type will not do.
OTHERS: dict[str, dict[str, Any]] = {
    "robustness.variant": {"robustness.variant": "paper2018"},
    "robustness.reduction": {"robustness.reduction": "example"},
    "robustness.probes": {"robustness.probes": "exact"},
    "vae.objective": {"vae.objective": "elbo"},
    "vae.target": {"vae.target": "unit"},
    "vae.num_concepts": {"vae.num_concepts": 6, "experiments.mnist_disenn.num_concepts": 6},
    "experiments.compas_senn.dataset": {"experiments.compas_senn.dataset": "mnist_5k"},
    "experiments.mnist_senn.dataset": {"experiments.mnist_senn.dataset": "compas"},
    "experiments.mnist_disenn.dataset": {
        "datasets": ["compas", "mnist_5k", "mnist"],
        "pretrain.dataset": "mnist",
        "experiments.mnist_disenn.dataset": "mnist",
    },
    "experiments.compas_senn.conceptizer.name": {
        "experiments.compas_senn.conceptizer": SMOKE.experiments[
            "mnist_senn"
        ].conceptizer.model_dump()
    },
    "experiments.mnist_senn.conceptizer.name": {
        "experiments.mnist_senn.conceptizer": {"name": "identity"}
    },
    "experiments.mnist_disenn.num_concepts": {
        "experiments.mnist_disenn.num_concepts": 6,
        "vae.num_concepts": 6,
    },
    **{
        f"experiments.{name}.parameterizer.name": {
            f"experiments.{name}.parameterizer": {"name": "mlp", "hidden_sizes": [3]}
            if name != "compas_senn"
            else SMOKE.experiments["mnist_senn"].parameterizer.model_dump()
        }
        for name in EXPERIMENTS
    },
}
# There is one value only, or the conceptizer, the data or the class names decide it.
DECIDED = ("aggregator", "model_class", "num_classes", "lambda_grid", "initial_weights")
DECIDED_BY_NAME = ("experiments.mnist_disenn.conceptizer.name",)


def leaves(section: dict[str, Any], prefix: str) -> dict[str, Any]:
    found = {}
    for key, value in section.items():
        if isinstance(value, dict):
            found |= leaves(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def read_by(name: str) -> dict[str, Any]:
    """All values of params.yaml that experiment `name` is trained by, under their dotted keys."""
    content = SMOKE.model_dump()
    sections = [f"experiments.{name}.", "robustness."]
    sections += ["vae."] if name == "mnist_disenn" else []
    values = leaves(content, "")
    return {key: value for key, value in values.items() if key.startswith(tuple(sections))}


def another(key: str, value: Any) -> dict[str, Any]:
    """Changes that give `key` another value."""
    if key in OTHERS:
        return OTHERS[key]
    if isinstance(value, tuple):
        return {key: [*value[:-1], value[-1] + 1] if value else [3]}
    if isinstance(value, int):
        return {key: value + 1}
    assert isinstance(value, float), f"{key}: say in OTHERS what else it may be"
    return {key: value / 2 + 1e-6}


READ = [
    (name, key, value)
    for name in EXPERIMENTS
    for key, value in read_by(name).items()
    if value is not None and not key.endswith(DECIDED) and key not in DECIDED_BY_NAME
]


@pytest.mark.parametrize(("name", "key", "value"), READ, ids=[f"{n}-{k}" for n, k, _ in READ])
def test_every_param_read_changes_it(workspace, name, key, value):
    before = workspace.fingerprints(name)
    after = workspace.fingerprints(name, settings(another(key, value)))
    assert before.keys() == after.keys()
    assert all(before[cell] != after[cell] for cell in before)


def test_every_cell_has_its_own(workspace):
    wide = settings({"lambda_grid": [0.0, 1e-6, 0.1, 1.0], "seeds": [111, 333]})
    found = [
        print_ for name in EXPERIMENTS for print_ in workspace.fingerprints(name, wide).values()
    ]
    assert len(found) == 3 * 5 * 2 == len(set(found))


UNREAD = {
    "the headline": {"robust_reg": 0.01, "lambda_grid": [0.0001]},
    "another λ": {"lambda_grid": [0.0001, 0.01, 0.5]},
    "another seed's place": {"seeds": [333, 111]},
    "the device setting": {"device": "auto"},
    "the split's seed, which the data show": {"split_seed": 5},
    "pretraining, which its weights show": {"pretrain.lr": 0.5, "pretrain.pretrain_epochs": 9},
    "metrics": {"evaluate.anchors": 77},
    "the report": {"report.prototypes": 77},
}


@pytest.mark.parametrize("changes", UNREAD.values(), ids=UNREAD.keys())
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_what_a_cell_does_not_depend_on_does_not_change_it(workspace, name, changes):
    before = workspace.fingerprints(name)
    after = workspace.fingerprints(name, settings(changes))
    assert {cell: after[cell] for cell in before} == before


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiments_own_grid_does_not_change_it(workspace, name):
    before = workspace.fingerprints(name)
    own = settings({f"experiments.{name}.lambda_grid": [0.01, 0.7]})
    after = workspace.fingerprints(name, own)
    assert {cell: after[cell] for cell in before} == before


def test_other_experiments_do_not_change_it(workspace):
    before = workspace.fingerprints("compas_senn")
    changes = {
        **{f"experiments.mnist_senn.{key}": 3 for key in ("epochs", "batch_size", "lr")},
        "vae.hidden_sizes": [7],
        "vae.target": "unit",
    }
    assert workspace.fingerprints("compas_senn", settings(changes)) == before


# --- data, initial weights, torch, device ------------------------------------------------------


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_data_change_it(workspace, name):
    before = workspace.fingerprints(name)
    path = workspace.folder / name / FILE_NAME
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    after = workspace.fingerprints(name)
    assert all(before[cell] != after[cell] for cell in before)


def test_pretrained_weights_change_it_for_their_seed(workspace):
    before = {name: workspace.fingerprints(name) for name in EXPERIMENTS}
    save_weights(workspace.folder / "vae/seed=111.safetensors", {"w": torch.zeros(111 % 7)}, {})
    after = {name: workspace.fingerprints(name) for name in EXPERIMENTS}
    changed = {c for name in EXPERIMENTS for c in before[name] if before[name][c] != after[name][c]}
    assert changed == {cell for cell in before["mnist_disenn"] if cell.seed == 111}


def test_torchs_version_changes_it(workspace, monkeypatch):
    before = workspace.fingerprints("compas_senn")
    monkeypatch.setattr(torch, "__version__", torch.__version__ + ".post1")
    after = workspace.fingerprints("compas_senn")
    assert all(before[cell] != after[cell] for cell in before)


def test_the_kind_of_device_changes_it_and_its_index_does_not(workspace, monkeypatch):
    names = {0: "NVIDIA H100", 1: "NVIDIA H100", 2: "NVIDIA A100"}
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: names[device.index])
    h100, same, a100 = (
        workspace.fingerprints("compas_senn", device=torch.device("cuda", i)) for i in range(3)
    )
    on_cpu = workspace.fingerprints("compas_senn")
    assert h100 == same
    assert all(len({h100[cell], a100[cell], on_cpu[cell]}) == 3 for cell in on_cpu)


def test_the_order_of_determinants_does_not_matter():
    one = fingerprint(CPU, seed=1, params={"a": 1, "b": [1, 2]})
    assert fingerprint(CPU, params={"b": [1, 2], "a": 1}, seed=1) == one
    assert fingerprint(CPU, params={"b": [2, 1], "a": 1}, seed=1) != one
    assert len(one) == 64 and set(one) <= set("0123456789abcdef")


# --- code --------------------------------------------------------------------------------------


@pytest.fixture
def digest_with(tmp_path) -> Callable[..., str]:
    """``digest_with(edit)``: the code digest of a copy of the library after ``edit(folder)``."""

    def digest(edit: Callable[[Path], object] = lambda folder: None) -> str:
        folder = tmp_path / "pipeline"
        shutil.rmtree(folder, ignore_errors=True)
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPOSITORY / "pipeline", folder, ignore=ignored)
        edit(folder)
        source = folder / "training/fingerprint.py"
        spec = importlib.util.spec_from_file_location("copied_fingerprint", source)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.code_digest()

    return digest


def code_that_trains() -> list[str]:
    pipeline = REPOSITORY / "pipeline"
    folders = [*pipeline.rglob("models/**/*.py"), *pipeline.rglob("training/**/*.py")]
    files = [pipeline / "data/dataset.py", *folders]
    return sorted(path.relative_to(pipeline).as_posix() for path in files)


def appended(path: str, text: str) -> Callable[[Path], object]:
    def edit(folder: Path) -> None:
        with (folder / path).open("a", encoding="utf-8") as file:
            file.write(text)

    return edit


@pytest.mark.parametrize("path", code_that_trains())
def test_a_line_of_training_code_changes_it_and_a_comment_does_not(digest_with, path):
    before = digest_with()
    assert digest_with(appended(path, "\n\nONE_MORE = 1\n")) != before
    assert digest_with(appended(path, "\n\n\n# one more comment\n")) == before


def test_a_changed_number_changes_it(digest_with):
    def edit(folder: Path) -> None:
        path = folder / "models/layers.py"
        text = path.read_text(encoding="utf-8")
        assert "1 / math.sqrt(inputs)" in text
        path.write_text(text.replace("1 / math.sqrt(inputs)", "2 / math.sqrt(inputs)"), "utf-8")

    assert digest_with(edit) != digest_with()


def test_a_renamed_and_an_added_file_change_it(digest_with):
    before = digest_with()
    added = digest_with(lambda folder: (folder / "models/attention.py").write_text("HEADS = 8\n"))
    renamed = digest_with(
        lambda folder: (folder / "models/senn.py").rename(folder / "models/sen.py")
    )
    assert len({before, added, renamed}) == 3


@pytest.mark.parametrize("path", ["errors.py", "data/compas.py", "reporting/claims.py"])
def test_code_that_does_not_train_does_not_change_it(digest_with, path):
    assert digest_with(appended(path, "\nONE_MORE = 1\n")) == digest_with()


def test_it_is_this_librarys_code(digest_with):
    from pipeline.training.fingerprint import code_digest

    assert code_digest() == digest_with()
