"""A real Ray cluster, on this machine: a head that computes nothing, and two nodes."""

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from pipeline.core import cluster
from pipeline.core.cells import grid
from pipeline.core.errors import PipelineError
from pipeline.core.params import Params
from pipeline.core.run import Run
from pipeline.core.store import CellStore
from pipeline.core.tensors import write_tensors
from pipeline.metrics.comparison import comparison
from pipeline.metrics.evaluation import evaluate
from pipeline.metrics.measurement import measure_together
from pipeline.metrics.worst_case import worst_case
from pipeline.study.run import run_study
from pipeline.training import engine
from pipeline.training.engine import train_grids
from pipeline.training.pretrain import pretrain_all
from pipeline.training.progress import TrainingProgress
from pipeline.training.task import Job
from tests.stages.workspace import untrained_compas
from tests.training.grids import ARCHITECTURES, CPU, run_in_turn, settings, write_data

NEEDED = "needs Ray: pip install -r requirements-ray.txt"
NO_STORE = CellStore(None, 1)
EPOCHS, STEPS = 150, 250  # seconds for each task


@pytest.fixture(scope="module")
def nodes(tmp_path_factory) -> Iterator[Any]:
    """The cluster; its nodes have room for one task each, and a cell store of their own."""
    pytest.importorskip("ray", reason=NEEDED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("SENN_CELL_STORE", str(tmp_path_factory.mktemp("store of the nodes")))
        from ray.cluster_utils import Cluster

        # For sockets, whose path must be short, and what a killed node leaves behind.
        folder = tempfile.mkdtemp(prefix="senn-ray-")
        patch.setenv("TMPDIR", folder)
        notice = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500}
        started = Cluster(True, head_node_args={"num_cpus": 0, "_system_config": notice})
        try:
            for _ in range(2):
                started.add_node(num_cpus=1)
            patch.setenv("RAY_ADDRESS", started.address)
            yield started
        finally:
            disconnect()
            started.shutdown()
            shutil.rmtree(folder, ignore_errors=True)


def disconnect() -> None:
    sys.modules["ray"].shutdown()


@pytest.fixture
def job(tmp_path, monkeypatch):
    """``job(name, changes)``: of training experiment `name`, in two banks, on the cluster."""
    monkeypatch.setattr(engine, "pack", lambda cells, *_, **__: [cells[:2], cells[2:]])

    def make(name: str, changes: dict[str, Any], store: CellStore = NO_STORE) -> Job:
        sizes = {f"experiments.{name}.{key}": value for key, value in changes.items()}
        sizes |= {f"experiments.{name}.batch_size": 12, f"experiments.{name}.eval_freq": 100}
        params = settings({**sizes, "compute.engine": "ray"})
        run = Run(params, CPU, tmp_path / "prepared", tmp_path / "models", store)
        data = run.data_of(name)
        if not data.exists():
            write_data(name, data, train=50, valid=40)
        if name == "mnist_disenn":
            for seed in params.seeds:
                vae = ARCHITECTURES[name].senn(seed + 1_000).conceptizer
                write_tensors(run.vae(seed), vae.state_dict(), {"seed": seed})
        return Job(run, name)

    return make


def trained_here(job: Job) -> tuple[dict[str, bytes], pd.DataFrame]:
    """What this process makes of the same cells: all files, and the curves."""
    folder = job.models.parent / "models of this process"
    if job.pretrained:
        shutil.copytree(job.run.vae(0).parent, folder / "vae")
    here = Run(local(job.run.params), CPU, job.run.prepared, folder)
    with in_this_process():
        (curves,) = train_grids([Job(here, job.name)])
    return contents(folder), curves


def local(params: Params) -> Params:
    return settings({"compute.engine": "local"}, params)


@contextmanager
def in_this_process() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.core.tasks.run_side_by_side", run_in_turn)
        yield


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def busy(node: Any) -> bool:
    """Whether a process of this node is at work on a task."""
    raylet = node.all_processes["raylet"][0].process.pid
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = status.read_text().rpartition(")")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(rest.split()[1]) == raylet and "(ray::_on_node" in name:
            return True
    return False


def test_pretrained_weights_travel_and_cells_are_stored(nodes, job, tmp_path, capsys):
    store = CellStore(tmp_path / "store", 10**9)
    this = job("mnist_disenn", {"epochs": 1}, store)
    train_grids([this])
    assert contents(this.models) == trained_here(this)[0]
    # Both this machine and the node keep the cells, the node no more than them.
    names = {path.name for path in store.folder.iterdir()}
    assert len(names) == 4
    assert {path.name for path in Path(os.environ["SENN_CELL_STORE"]).iterdir()} == names

    capsys.readouterr()
    shutil.rmtree(this.models / this.name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster, "_connected", None)  # nothing to train, nobody is asked
        train_grids([this])
    assert "4 of 4 cells reused" in capsys.readouterr().out


# --- measuring, and all else -------------------------------------------------------------------

NAME = "compas_senn"
PREPARED, MODELS = Path("data/prepared/compas"), Path("models")
SETTINGS = {
    "compute.engine": "ray",
    "evaluate.anchors": 10,
    "experiments.compas_senn.batch_size": 30,
    "explain.seeds": 1,
    "explain.examples": 4,
}


@pytest.fixture
def untrained(nodes, tmp_path, monkeypatch) -> Params:
    """Params, for which the current folder has data and models that are not trained."""
    monkeypatch.chdir(tmp_path)
    untrained_compas({}, 40)
    while len(nodes.worker_nodes) < 2:  # another test may have killed one
        nodes.add_node(num_cpus=1)
    return settings(SETTINGS | {"explain.experiments": [NAME]})


def test_explanations_are_measured_there_as_here(untrained):
    def scored(params: Params) -> str:
        params = params.model_copy(update={"experiments": {NAME: params.experiments[NAME]}})
        run = Run(params, CPU, PREPARED.parent, MODELS)
        bounds, compared = measure_together(run, worst_case(run), comparison(run))
        return json.dumps({"bounds": bounds[NAME], "methods": compared[NAME]}, default=vars)

    there = scored(untrained)
    with in_this_process():
        assert scored(local(untrained)) == there


def test_a_study_is_made_there_as_here(untrained):
    def studied(params: Params) -> str:
        cells, roundings = run_study(Run(params, CPU, PREPARED.parent, MODELS), NAME)
        return cells.to_json() + roundings.to_json()

    there = studied(untrained)
    with in_this_process():
        assert studied(local(untrained)) == there


def test_vaes_are_pretrained_there_as_here(untrained, tmp_path):
    write_data("mnist_disenn", tmp_path / "mnist_5k", train=50, valid=40)
    params = settings({"pretrain.batch_size": 12}, untrained)

    def pretrained(params: Params, name: str) -> tuple[dict[str, bytes], str]:
        curves = pretrain_all(Run(params, CPU, tmp_path, tmp_path / name))
        return contents(tmp_path / name / "vae"), curves.to_json()

    there = pretrained(params, "there")
    assert len(there[0]) == len(params.seeds)
    with in_this_process():
        assert pretrained(local(params), "here") == there


# --- what goes wrong ---------------------------------------------------------------------------


def test_what_goes_wrong_on_a_node_is_told_here(nodes, job):
    this = job("compas_senn", {"epochs": 1, "lr": 1e30})
    message = r"^compas_senn λ=0\.0001 seed=\d+: the training loss is not finite by step 4"
    with pytest.raises(PipelineError, match=message):
        train_grids([this])
    assert not this.models.exists()


def test_a_node_that_would_compute_something_else_is_refused(nodes, job, monkeypatch):
    this = job("compas_senn", {"epochs": 1})
    monkeypatch.setattr(torch, "__version__", "1.2.3")
    message = r"^Ray node [\d.]+: its torch is \d.*, this machine's is 1\.2\.3, so its results"
    with pytest.raises(PipelineError, match=message):
        train_grids([this])
    assert not this.models.exists()


@pytest.mark.parametrize(("key", "told"), [("code", "code"), ("device", "processor")])
def test_all_that_decides_the_bits_is_compared(key, told):
    pytest.importorskip("ray", reason=NEEDED)
    expected = {**cluster._environment(CPU), key: "else"}
    with pytest.raises(PipelineError, match=rf"its {told} is .*, this machine's is else, "):
        cluster._on_node(0, None, None, "cpu", expected, None)


def test_a_task_whose_process_dies_again_and_again(nodes, monkeypatch):
    monkeypatch.setattr(cluster, "RETRIES", 0)
    message = r"^the Ray cluster gave up on a task, after 0 retries: .*died"
    with pytest.raises(PipelineError, match=message):
        run(lambda *_: os._exit(1))


def test_a_defect_keeps_its_own_error(nodes):
    with pytest.raises(ZeroDivisionError, match="division by zero"):
        run(lambda *_: 1 / 0)


def run(work: Any, cores: int = 1, device: torch.device = CPU) -> list[Any]:
    return list(cluster.run_on_cluster(work, [None], device, cores, lambda *_: None))


def test_no_node_has_so_many_cores(nodes):
    message = r"^no node of the Ray cluster has 2 CPU for a task: .*compute\.cores_per_task"
    with pytest.raises(PipelineError, match=message):
        run(None, cores=2)


def test_no_node_has_a_gpu(nodes):
    message = r"^no node of the Ray cluster has 1 GPU and 1 CPU for a task: see device and "
    with pytest.raises(PipelineError, match=message):
        run(None, device=torch.device("cuda", 1))


@pytest.fixture
def node_with_gpus(nodes) -> Iterator[None]:
    """One more node, which says that it has two GPUs."""
    node = nodes.add_node(num_cpus=4, num_gpus=2)
    yield
    nodes.remove_node(node)


def test_every_task_on_a_gpu_has_one_of_its_own(node_with_gpus, monkeypatch):
    # What Ray gives it is there to see without a GPU; that it is like ours is seen above.
    this = torch.device("cuda", 1)

    def see(task: None, report: None, device: torch.device = this) -> tuple[str, int]:
        import ray

        return str(device), len(ray.get_gpu_ids())

    monkeypatch.setattr(cluster, "_environment", lambda device: {})
    monkeypatch.setattr(cluster, "_on_node", lambda index, task, work, *_: work(task, None))
    assert run(see, device=this) == [(0, ("cuda", 1))]  # the number 1 is this machine's


# --- killed nodes: one is missing after each, and `untrained` adds it again ---------------------


def test_a_killed_node_is_made_up_for_and_every_byte_is_the_same(nodes, job, monkeypatch):
    this = job("compas_senn", {"epochs": EPOCHS})
    told: list[tuple[int, int]] = []
    killed = []
    show = TrainingProgress.epoch

    def epoch(progress: TrainingProgress, bank: int, epoch: int, accuracy: float) -> None:
        show(progress, bank, epoch, accuracy)
        told.append((bank, epoch))
        if not killed and {bank for bank, _ in told} == {0, 1}:
            killed.append(next(node for node in list(nodes.worker_nodes) if busy(node)))
            nodes.remove_node(killed[0], allow_graceful=False)

    monkeypatch.setattr(TrainingProgress, "epoch", epoch)
    (curves,) = train_grids([this])
    assert killed and len(nodes.worker_nodes) == 1
    # One bank was begun again, by the node that is left; both were seen to the end.
    epochs = [[epoch for of, epoch in told if of == bank] for bank in (0, 1)]
    assert sorted(len(of_bank) == len({*of_bank}) for of_bank in epochs) == [False, True]

    files, expected = trained_here(this)
    assert len(files) == len(this.grid()) == 4
    assert contents(this.models) == files
    pd.testing.assert_frame_equal(curves, expected)


def test_a_node_killed_during_an_evaluation_is_made_up_for(nodes, untrained):
    slow = settings({"evaluate.lipschitz_local_steps": STEPS}, untrained).evaluate
    killed = []

    def line(index: int, row: dict[str, Any]) -> str:
        """Once a model is measured, kill a node that measures another."""
        if not killed:
            while not (at_work := list(filter(busy, nodes.worker_nodes))):
                time.sleep(0.01)
            killed.append(at_work[0])
            nodes.remove_node(killed[0], allow_graceful=False)
        return ""

    def measured(params: Params, **more: Any) -> str:
        run = Run(params, CPU, PREPARED.parent, MODELS)
        of_run = [(run, cell) for cell in grid(untrained, NAME)]
        return json.dumps(evaluate("test", run, slow, of_run, **more))

    there = measured(untrained, line=line)
    assert killed and len(nodes.worker_nodes) == 1
    with in_this_process():
        assert measured(local(untrained)) == there


# --- without a cluster --------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.0.0.1:head"])
def test_a_cluster_that_is_not_there(monkeypatch, address):
    pytest.importorskip("ray", reason=NEEDED)
    disconnect()
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(PipelineError, match=rf"^cannot use the Ray cluster {address} "):
        run(None)


def test_rays_client_is_refused(monkeypatch):
    pytest.importorskip("ray", reason=NEEDED)
    disconnect()
    monkeypatch.setenv("RAY_ADDRESS", "ray://127.0.0.1:1")
    with pytest.raises(PipelineError, match=r"^RAY_ADDRESS must be .*, got ray://127\.0\.0\.1:1"):
        run(None)


def test_ray_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    message = r"^params\.yaml: compute\.engine: ray needs .*requirements-ray\.txt"
    with pytest.raises(PipelineError, match=message):
        run(None)
