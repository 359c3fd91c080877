import io
import os
import pickle
import re
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from pipeline.core.cells import Cell, grid
from pipeline.core.cluster import _TRANSLATED
from pipeline.core.dataset import read_dataset
from pipeline.core.errors import PipelineError
from pipeline.core.files import File
from pipeline.core.params import Params
from pipeline.core.run import Run
from pipeline.core.store import CellStore
from pipeline.core.tensors import read_tensors, write_tensors
from pipeline.models.weights import load_cell
from pipeline.training import engine, task
from pipeline.training.bank import train_bank
from pipeline.training.engine import train_grids
from pipeline.training.progress import TrainingProgress
from pipeline.training.task import Job
from tests.models.textbook import Textbook, same_weights
from tests.training.grids import (
    ARCHITECTURES,
    CPU,
    EXPERIMENTS,
    SMOKE,
    initial,
    settings,
    train,
    write_data,
)

pytestmark = pytest.mark.usefixtures("in_this_process")
COLUMNS = [
    "experiment",
    "robust_reg",
    "seed",
    "step",
    "epoch",
    "train_total",
    "train_classification",
    "train_robustness",
    "train_concept",
    "valid_classification",
    "valid_accuracy",
]


def short(name: str, **changes) -> Params:
    changes = {"epochs": 2, "batch_size": 12, "eval_freq": 3, "lr": 0.01, **changes}
    return settings({f"experiments.{name}.{key}": value for key, value in changes.items()})


@pytest.fixture
def job(tmp_path):
    """``job(name, params)``: of training experiment `name` in a folder of its own, no store."""

    def make(name: str, params: Params) -> Job:
        run = Run(params, CPU, tmp_path / "prepared", tmp_path / "models", CellStore(None, 1))
        data = run.data_of(name)
        if not data.exists():
            write_data(name, data, train=50, valid=40)
        if name == "mnist_disenn" and not run.vae(params.seeds[0]).exists():
            for seed in params.seeds:
                vae = ARCHITECTURES[name].senn(seed + 1_000).conceptizer
                write_tensors(run.vae(seed), vae.state_dict(), {"seed": seed})
        return Job(run, name)

    return make


def test_writes_every_cell_as_the_bank_trained_it(job):
    name, params = "compas_senn", short("compas_senn")
    this = job(name, params)
    (curves,) = train_grids([this])
    data, cells = read_dataset(this.data), grid(params, name)
    written = {path for path in this.models.rglob("*") if path.is_file()}
    assert written == {cell.path(this.models) for cell in cells}

    trained = train(cells, data, params)
    for cell in cells:
        weights, metadata = read_tensors(cell.path(this.models))
        assert weights.keys() == trained[cell].weights.keys()
        for key, value in trained[cell].weights.items():
            assert torch.equal(weights[key], value), f"{cell}: {key}"
        assert metadata["step"] == trained[cell].step
        assert metadata["valid_accuracy"] == trained[cell].valid_accuracy
    expected = [
        {"experiment": name, "robust_reg": cell.robust_reg, "seed": cell.seed, **row}
        for cell in cells
        for row in trained[cell].curve
    ]
    pd.testing.assert_frame_equal(curves, pd.DataFrame(expected)[COLUMNS])


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_cells_file_says_all_about_it(job, name):
    params = short(name)
    this = job(name, params)
    train_grids([this])
    cell = Cell(name, 0.01, 333)
    senn, metadata = load_cell(cell.path(this.models))
    assert Cell(metadata["experiment"], metadata["robust_reg"], metadata["seed"]) == cell
    data = read_dataset(this.data)
    assert metadata["data"] == data.digest
    assert metadata["torch"] == torch.__version__.partition("+")[0]
    assert metadata["device"].startswith("cpu")
    assert len(metadata["fingerprint"]) == len(metadata["code"]) == 64
    elsewhere = {"lambda_grid", "seeds", "entry"}
    experiment = params.experiments[name].model_dump(mode="json", exclude=elsewhere)
    assert metadata["params"]["experiment"] == experiment
    assert metadata["params"]["robustness"] == params.robustness.model_dump(mode="json")
    if name == "mnist_disenn":
        assert metadata["params"]["vae"] == params.vae.model_dump(mode="json")

    # The file is the model: its validation accuracy is that of its weights in a plain network.
    textbook = same_weights(senn, Textbook(ARCHITECTURES[name]))
    logits = textbook(data.valid.x).logits
    assert_close(senn(data.valid.x).logits, logits)
    right = (logits.argmax(1) == data.valid.y).double().mean().item()
    assert metadata["valid_accuracy"] == pytest.approx(right)


def test_disenn_starts_from_the_pretrained_vae(job):
    # At so small a learning rate no weight moves, so what is written is what training began with.
    name, params = "mnist_disenn", short("mnist_disenn", lr=1e-30, epochs=1)
    this = job(name, params)
    train_grids([this])
    for cell in grid(params, name):
        weights, _ = read_tensors(cell.path(this.models))
        vae, _ = read_tensors(this.run.vae(cell.seed))
        fresh = initial(name, read_dataset(this.data), params)(cell.seed).state_dict()
        for key, value in vae.items():
            assert torch.equal(weights[f"conceptizer.{key}"], value), f"{cell}: {key}"
        for key in fresh:
            if key.startswith("parameterizer."):
                assert torch.equal(weights[key], fresh[key]), f"{cell}: {key}"
        assert any(not torch.equal(fresh[f"conceptizer.{key}"], vae[key]) for key in vae)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_away_from_its_files_a_cell_comes_out_the_same(job, tmp_path, monkeypatch, name):
    here = job(name, short(name))
    (curves,) = train_grids([here])
    folder = here.models / name
    files = {path: path.read_bytes() for path in folder.rglob("*.safetensors")}
    shutil.rmtree(folder)

    def run_as_one_node(work, tasks, device, cores, report):
        """`run_on_cluster` without a cluster: here, but without the files."""
        work, tasks = as_a_node_has_it(work), as_a_node_has_it(tasks)
        hidden = here.data.path.rename(tmp_path / "hidden")
        results = [(i, work(task, lambda *_: None)) for i, task in enumerate(tasks)]
        hidden.rename(here.data.path)
        return results

    elsewhere = tmp_path / "store of the node"
    monkeypatch.setattr("pipeline.core.tasks.run_on_cluster", run_as_one_node)
    monkeypatch.setenv("SENN_CELL_STORE", str(elsewhere))
    params = settings({"compute.engine": "ray"}, here.run.params)
    run = replace(here.run, params=params)
    pd.testing.assert_frame_equal(*train_grids([Job(run, name)]), curves)
    assert {path: path.read_bytes() for path in folder.rglob("*.safetensors")} == files
    assert not elsewhere.exists()  # this machine has no store, so no other one is used

    store = CellStore(tmp_path / "store", 10**9)
    train_grids([Job(replace(run, store=store), name)])
    names = {path.name for path in store.folder.iterdir()}
    assert len(names) == len(files)
    assert {path.name for path in elsewhere.iterdir()} == names


def as_a_node_has_it(value):
    """`value`, sent as Ray's pickler sends it."""
    sent = io.BytesIO()
    pickler = pickle.Pickler(sent)
    pickler.dispatch_table = {
        kind: lambda it, send=send, make=make: (make, (send(it),))
        for kind, (send, make) in _TRANSLATED.items()
    }
    pickler.dump(value)
    return pickle.loads(sent.getvalue())


def test_grids_side_by_side_come_out_as_alone(job, tmp_path, capsys):
    """Of two experiments with other data and epochs, and of one that the store has."""
    params = settings(
        {"experiments.mnist_senn.epochs": 1, "experiments.mnist_senn.batch_size": 12},
        short("compas_senn"),
    )
    jobs = [job(name, params) for name in ("compas_senn", "mnist_senn")]
    alone = [train_grids([one])[0] for one in jobs]
    files = {path: path.read_bytes() for path in jobs[0].models.rglob("*.safetensors")}
    assert len(files) == 8
    shutil.rmtree(jobs[0].models)

    stored = replace(jobs[0].run, store=CellStore(tmp_path / "store", 10**9))
    train_grids([Job(stored, "mnist_senn")])
    capsys.readouterr()
    both = train_grids([Job(stored, one.name, label=f"the {one.name}") for one in jobs])
    for curves, expected in zip(both, alone, strict=True):
        pd.testing.assert_frame_equal(curves, expected)
    assert {path: path.read_bytes() for path in files} == files
    printed = capsys.readouterr().out
    assert "mnist_senn (the mnist_senn): 4 of 4 cells reused from the cell store" in printed
    assert printed.count("of compas_senn (the compas_senn) done, valid accuracy") > 0
    assert "of mnist_senn" not in printed.replace("mnist_senn (the mnist_senn)", "")


def test_models_are_built_and_vaes_read_once_a_seed(job, monkeypatch):
    name, params = "mnist_disenn", short("mnist_disenn", epochs=1)
    this = job(name, params)
    calls = Counter()

    def counted(function):
        def call(*arguments):
            paths = [getattr(a, "path", a) for a in arguments if isinstance(a, Path | File)]
            paths = [path.name for path in paths if path.parent == this.run.vae(0).parent]
            calls[function.__name__, *paths] += 1
            return function(*arguments)

        return call

    monkeypatch.setattr(task, "build_senn", counted(task.build_senn))
    monkeypatch.setattr(task, "read_tensors", counted(task.read_tensors))
    monkeypatch.setattr(File, "digest", counted(File.digest))
    train_grids([this])
    assert len(grid(params, name)) == 4 and calls["build_senn",] == 2
    for seed in params.seeds:
        assert calls["read_tensors", f"seed={seed}.safetensors"] == 1
        assert calls["digest", f"seed={seed}.safetensors"] == 1


def test_training_pays(job):
    # 100 times through 50 noisy examples, and most of the 40 others are classified right.
    params = short("compas_senn", epochs=100)
    (curves,) = train_grids([job("compas_senn", params)])
    last = curves.groupby(["robust_reg", "seed"]).last()
    first = curves.groupby(["robust_reg", "seed"]).first()
    assert (last["train_classification"] < 0.8 * first["train_classification"]).all()
    assert (curves.groupby(["robust_reg", "seed"])["valid_accuracy"].max() > 0.7).all()


def test_lambda_zero_weighs_nothing_and_a_large_one_shrinks_the_loss(job):
    params = settings(
        {"lambda_grid": [0.0, 10.0], "robust_reg": 0.0, "robustness.variant": "paper2018"},
        short("compas_senn", epochs=60),
    )
    (curves,) = train_grids([job("compas_senn", params)])
    last = curves.groupby(["robust_reg"]).last()
    rows = curves[curves["robust_reg"] == 0]
    assert_close(rows["train_total"].tolist(), rows["train_classification"].tolist())
    assert last.loc[10.0, "train_robustness"] < 0.1 * last.loc[0.0, "train_robustness"]


# --- a GPU's memory is too small ----------------------------------------------------------------


def limit_memory(monkeypatch, cells: int) -> None:
    """Let a bank need more memory than there is where more than `cells` are computed at once."""

    def limited(*arguments):
        if arguments[-1] > cells:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return train_bank(*arguments)

    monkeypatch.setattr(task, "train_bank", limited)


class Interrupted(Exception):
    """Somebody pressed Ctrl-C."""


NEVER = 10**6


def interrupt_after(monkeypatch, epochs: int) -> None:
    def counted(progress: TrainingProgress, *_) -> None:
        nonlocal epochs
        epochs -= 1
        if epochs == 0:
            raise Interrupted

    monkeypatch.setattr(TrainingProgress, "epoch", counted)


@pytest.fixture
def one_bank(job, tmp_path, monkeypatch) -> Job:
    """Of four cells, which are trained for three epochs, with a store."""
    monkeypatch.setattr(engine, "cores", lambda: 1)
    this = job("mnist_senn", short("mnist_senn", epochs=3))
    return Job(replace(this.run, store=CellStore(tmp_path / "store", 10**9)), this.name)


def trained_cells(job: Job) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in job.models.rglob("*.safetensors")}


def test_of_halves_of_a_bank_no_epoch_is_done_again(one_bank, tmp_path, monkeypatch):
    expected = train_grids([Job(replace(one_bank.run, store=CellStore(None, 1)), one_bank.name)])
    files = trained_cells(one_bank)
    shutil.rmtree(one_bank.models)
    limit_memory(monkeypatch, 2)
    for epochs in (2, 3, 1):  # in the first half; in the second; after its last epoch
        interrupt_after(monkeypatch, epochs)
        with pytest.raises(Interrupted):
            train_grids([one_bank])
    interrupt_after(monkeypatch, 1)
    (curves,) = train_grids([one_bank])  # no epoch is left
    pd.testing.assert_frame_equal(curves, *expected)
    assert trained_cells(one_bank) == files
    assert {path.suffix for path in (tmp_path / "store").iterdir()} == {".cell"}


def test_an_abandoned_half_makes_room(one_bank, tmp_path, monkeypatch):
    limit_memory(monkeypatch, 2)
    interrupt_after(monkeypatch, 4)
    with pytest.raises(Interrupted):
        train_grids([one_bank])
    (unfinished,) = (tmp_path / "store").glob("unfinished-*")
    os.utime(unfinished, (0, 0))
    CellStore(tmp_path / "store", 1).shrink()
    assert not unfinished.exists()


def test_halves_of_a_bank_leave_nothing_of_the_whole(one_bank, tmp_path, monkeypatch):
    interrupt_after(monkeypatch, 1)
    with pytest.raises(Interrupted):
        train_grids([one_bank])
    assert len(list((tmp_path / "store").glob("unfinished-*"))) == 1
    limit_memory(monkeypatch, 2)
    interrupt_after(monkeypatch, epochs=NEVER)
    train_grids([one_bank])
    assert {path.suffix for path in (tmp_path / "store").iterdir()} == {".cell"}


def test_a_cell_that_does_not_fit_into_memory(one_bank, monkeypatch):
    limit_memory(monkeypatch, 0)
    with pytest.raises(PipelineError, match=r"experiments\.mnist_senn\.batch_size in params"):
        train_grids([one_bank])


# --- what does not fit -------------------------------------------------------------------------


def test_prepared_data_that_are_not_there(job, tmp_path):
    this = job("compas_senn", SMOKE)
    this.data.path.unlink()
    with pytest.raises(PipelineError, match=rf"{this.data.path}.*`dvc repro`"):
        train_grids([this])


def test_pretrained_weights_that_are_not_there(job):
    this = job("mnist_disenn", short("mnist_disenn"))
    this.run.vae(333).unlink()
    with pytest.raises(PipelineError, match=re.escape(str(this.run.vae(333)))):
        train_grids([this])


def test_pretrained_weights_of_another_architecture(job):
    this = job("mnist_disenn", short("mnist_disenn"))
    other = ARCHITECTURES["mnist_disenn"].with_(vae_sizes=(30, 16)).senn().conceptizer
    write_tensors(this.run.vae(333), other.state_dict(), {})
    with pytest.raises(PipelineError, match=re.escape(str(this.run.vae(333)))):
        train_grids([this])


def test_cross_entropy_is_reported_for_the_whole_validation_split(job):
    params = short("compas_senn", epochs=1, eval_freq=100)
    this = job("compas_senn", params)
    (curves,) = train_grids([this])
    data = read_dataset(this.data)
    for row in curves.to_dict("records"):
        cell = Cell("compas_senn", row["robust_reg"], row["seed"])
        senn, _ = load_cell(cell.path(this.models))
        expected = F.cross_entropy(senn(data.valid.x).logits, data.valid.y).item()
        assert row["valid_classification"] == pytest.approx(expected, rel=1e-5)
