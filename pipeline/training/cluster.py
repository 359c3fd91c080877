"""Run tasks on a Ray cluster: the one that ``RAY_ADDRESS`` names, or this machine's own.

Nodes need the installed requirements and none of our files: the library travels with the job, and
tasks take and return bytes. They must compute as this machine does, or they are refused.
"""

import logging
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch

from pipeline.core.device import choose_device
from pipeline.core.errors import PipelineError
from pipeline.core.workers import GRACE, Report, drain
from pipeline.training.fingerprint import environment

Task = TypeVar("Task")
Shared = TypeVar("Shared")
Result = TypeVar("Result")

LIBRARY = Path(__file__).parents[1]
RETRIES = 3  # of a task whose worker or node died
PATIENCE = 10.0  # seconds to wait for an answer of the cluster's head


def run_on_cluster(
    work: Callable[[Task, Shared, Report], Result],
    tasks: Sequence[Task],
    shared: Shared,
    device: torch.device,
    cores: int,
    report: Callable[[int, int, float], None],
) -> Iterator[tuple[int, Result]]:
    """Yield (index of the task, its result) as tasks finish.

    Parameters
    ----------
    work : a function of a module of ours, ``work(task, shared, report)``; what it raises is raised
        here. It is called again, elsewhere if need be, when its worker or its node dies.
    shared : sent to each node once.
    device : of this machine; a task gets a GPU of its own if it is one.
    cores : that a task on the CPU has for itself.
    report : called here with (index of the task, epochs done, accuracy) as tasks report.

    Raises
    ------
    PipelineError
        If Ray is not installed, the cluster is not there or has no room for a task, a node differs
        from this machine, or a task's workers died too often.
    """
    with _connected() as ray:
        needs = {"num_gpus": 1, "num_cpus": 1} if device.type == "cuda" else {"num_cpus": cores}
        _check_room(ray, needs)
        reports = _queue_here(ray)
        remote = ray.remote(_on_node).options(**needs, max_retries=RETRIES)
        constant = ray.put(shared), device.type, environment(device), reports
        pending = {
            remote.remote(work, index, task, *constant): index for index, task in enumerate(tasks)
        }
        try:
            while pending:
                done, _ = ray.wait(list(pending), timeout=0.2)
                drain(reports, report)
                for reference in done:
                    yield pending.pop(reference), _result(ray, reference)
        finally:
            _end(ray, list(pending))


def _on_node(
    work: Callable[[Task, Shared, Report], Result],
    index: int,
    task: Task,
    shared: Shared,
    device: str,
    expected: dict[str, str],
    reports: Any,
) -> Result:
    """Run one task; in a process of a node."""
    _check_node(device, expected)
    return work(task, shared, lambda *state: reports.put_nowait((index, *state)))


def _check_node(device: str, expected: dict[str, str]) -> None:
    """Refuse to train where the same fingerprint would mean other bits."""
    from ray.util import get_node_ip_address

    found = environment(choose_device(device))
    for key, value in expected.items():
        if found[key] != value:
            words = {"code": "training code", "device": "processor"}.get(key, key)
            raise PipelineError(
                f"Ray node {get_node_ip_address()}: its {words} is {found[key]}, this machine's is "
                f"{value}, so its models would not be the same. Make them equal, or take that node "
                "out of the cluster."
            )


@contextmanager
def _connected() -> Iterator[Any]:
    """Ray, connected to the cluster; a cluster of this machine alone ends with the block."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # tells nobody
    try:
        import ray
    except ImportError as error:
        raise PipelineError(
            "params.yaml: train.engine: ray needs the package: "
            "`pip install -r requirements-ray.txt`, or set it to local"
        ) from error
    address = os.environ.get("RAY_ADDRESS") or "local"
    if address.startswith("ray://"):
        raise PipelineError(
            f"RAY_ADDRESS must be auto or the HOST:PORT of a cluster's head, got {address}: run "
            "this on a node of the cluster, not through Ray's client"
        )
    try:
        if ":" in address:
            _call(address)
        ray.init(
            address,
            runtime_env={"py_modules": [str(LIBRARY)]},
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise PipelineError(
            f"cannot use the Ray cluster {address} (RAY_ADDRESS): {_in_short(error)}"
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _call(address: str) -> None:
    """See whether somebody answers at HOST:PORT; Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE).close()


def _check_room(ray: Any, needs: dict[str, int]) -> None:
    """Ray itself would wait for a fitting node, for ever."""
    room = {"num_cpus": "CPU", "num_gpus": "GPU"}
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(all(n.get(room[key], 0) >= value for key, value in needs.items()) for n in nodes):
        wanted = " and ".join(f"{value} {room[key]}" for key, value in needs.items())
        raise PipelineError(
            f"no node of the Ray cluster has {wanted} for a bank: see device and "
            "train.cores_per_bank in params.yaml, and what `ray status` lists"
        )


def _queue_here(ray: Any) -> Any:
    """A queue for reports on this node: if it dies, we do too."""
    from ray.util.queue import Queue
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return Queue(actor_options={"num_cpus": 0, "scheduling_strategy": here})


def _end(ray: Any, unfinished: Sequence[Any]) -> None:
    """End tasks that nobody waits for any more; they remove what they have written."""
    for reference in unfinished:
        ray.cancel(reference)
    if unfinished:
        ray.wait(unfinished, num_returns=len(unfinished), timeout=GRACE)


def _result(ray: Any, reference: Any) -> Any:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, PipelineError):
            raise error.cause from None
        raise
    except ray.exceptions.RayError as error:
        raise PipelineError(
            f"the Ray cluster gave up on a bank, after {RETRIES} retries: {_in_short(error)} "
            "Run the same command again; models that are finished are not trained again."
        ) from error


def _in_short(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
