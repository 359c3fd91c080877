"""A fingerprint must change with everything that can change a cell, and with nothing else."""

import importlib.util
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.data.dataset import FILE_NAME
from pipeline.params import Params
from pipeline.training.cells import Cell, grid, save_weights
from pipeline.training.engine import Job, train_grid
from pipeline.training.fingerprint import code_digest, fingerprint
from pipeline.training.store import CellStore
from tests.conftest import REPOSITORY
from tests.training.grids import CPU, EXPERIMENTS, SMOKE, settings, write_data


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
        data, vaes = self.folder / name, self.folder / "vae"
        train_grid(Job(params, name, device, data, vaes, models, store))
        return {cell: store.asked[cell.path(models)] for cell in grid(params, name)}


def prepare(folder: Path) -> Workspace:
    for name in EXPERIMENTS:
        write_data(name, folder / name, train=12, valid=4, test=4)
    for seed in SMOKE.seeds:
        save_weights(folder / f"vae/seed={seed}.safetensors", {"w": torch.ones(3)}, {})
    save_weights(folder / "any cell", {}, {"curve": [{"valid_accuracy": 0.5}]})
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
def test_every_param_read_changes_it(fixed, usual, name, key, value):
    before = usual[name]
    after = fixed.fingerprints(name, settings(another(key, value)))
    assert before.keys() == after.keys()
    assert all(before[cell] != after[cell] for cell in before)


def test_every_cell_has_its_own(fixed):
    wide = settings({"lambda_grid": [0.0, 1e-6, 0.1, 1.0]})
    found = [one for name in EXPERIMENTS for one in fixed.fingerprints(name, wide).values()]
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
def test_what_a_cell_does_not_depend_on_does_not_change_it(fixed, usual, name, changes):
    before = usual[name]
    after = fixed.fingerprints(name, settings(changes))
    assert {cell: after[cell] for cell in before} == before


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiments_own_grid_does_not_change_it(fixed, usual, name):
    before = usual[name]
    own = settings({f"experiments.{name}.lambda_grid": [0.01, 0.7]})
    after = fixed.fingerprints(name, own)
    assert {cell: after[cell] for cell in before} == before


def test_other_experiments_do_not_change_it(fixed, usual):
    changes = {
        **{f"experiments.mnist_senn.{key}": 3 for key in ("epochs", "batch_size", "lr")},
        "vae.hidden_sizes": [7],
        "vae.target": "unit",
    }
    assert fixed.fingerprints("compas_senn", settings(changes)) == usual["compas_senn"]


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
    save_weights(workspace.folder / "vae/seed=111.safetensors", {"w": torch.zeros(3)}, {})
    after = {name: workspace.fingerprints(name) for name in EXPERIMENTS}
    changed = {c for name in EXPERIMENTS for c in before[name] if before[name][c] != after[name][c]}
    assert changed == {cell for cell in before["mnist_disenn"] if cell.seed == 111}


def test_torchs_version_changes_it(fixed, usual, monkeypatch):
    before = usual["compas_senn"]
    monkeypatch.setattr(torch, "__version__", torch.__version__ + ".post1")
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
    one = fingerprint(CPU, seed=1, params={"a": 1, "b": [1, 2]})
    assert fingerprint(CPU, params={"b": [1, 2], "a": 1}, seed=1) == one
    assert fingerprint(CPU, params={"b": [2, 1], "a": 1}, seed=1) != one
    assert len(one) == 64 and set(one) <= set("0123456789abcdef")


# --- code --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Library:
    """A copy of the library's code, and the digest that it would say is its own."""

    folder: Path

    def digest(self) -> str:
        source = self.folder / "training/fingerprint.py"
        spec = importlib.util.spec_from_file_location("copied_fingerprint", source)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.code_digest()

    def digest_with(self, path: str, text: str) -> str:
        """The digest with `text` appended to the file `path`."""
        file = self.folder / path
        before = file.read_text(encoding="utf-8")
        file.write_text(before + text, encoding="utf-8")
        digest = self.digest()
        file.write_text(before, encoding="utf-8")
        return digest


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> Library:
    folder = tmp_path_factory.mktemp("library") / "pipeline"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(REPOSITORY / "pipeline", folder, ignore=ignored)
    return Library(folder)


def code_that_trains() -> list[str]:
    pipeline = REPOSITORY / "pipeline"
    folders = [*pipeline.rglob("models/**/*.py"), *pipeline.rglob("training/**/*.py")]
    files = [pipeline / "data/dataset.py", *folders]
    return sorted(path.relative_to(pipeline).as_posix() for path in files)


@pytest.mark.parametrize("path", code_that_trains())
def test_a_line_of_training_code_changes_it_and_a_comment_does_not(library, path):
    assert library.digest_with(path, "\n\nONE_MORE = 1\n") != code_digest()
    assert library.digest_with(path, "\n\n\n# one more comment\n") == code_digest()


def test_a_changed_number_changes_it(library):
    path = library.folder / "models/layers.py"
    text = path.read_text(encoding="utf-8")
    assert "1 / math.sqrt(inputs)" in text
    path.write_text(text.replace("1 / math.sqrt(inputs)", "2 / math.sqrt(inputs)"), "utf-8")
    assert library.digest() != code_digest()
    path.write_text(text, "utf-8")
    assert library.digest() == code_digest()


def test_a_renamed_and_an_added_file_change_it(library):
    models = library.folder / "models"
    (models / "attention.py").write_text("HEADS = 8\n")
    added = library.digest()
    (models / "attention.py").rename(models / "attentions.py")
    renamed = library.digest()
    (models / "attentions.py").unlink()
    assert len({code_digest(), added, renamed}) == 3
    assert library.digest() == code_digest()


@pytest.mark.parametrize("path", ["errors.py", "data/compas.py", "reporting/claims.py"])
def test_code_that_does_not_train_does_not_change_it(library, path):
    assert library.digest_with(path, "\nONE_MORE = 1\n") == code_digest()
