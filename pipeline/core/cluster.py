"""Run tasks on a Ray cluster: the one that ``RAY_ADDRESS`` names, or this machine's own.

Nodes need the installed requirements and none of our files: the library travels with the job, and
files with the tasks that read them. They must compute as this machine does, or they are refused.
"""

import logging
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import torch

from pipeline.core import fingerprint
from pipeline.core.device import choose_device
from pipeline.core.errors import PipelineError
from pipeline.core.files import File
from pipeline.core.store import CellStore
from pipeline.core.workers import GRACE, Work, drain, one_thread

Task = TypeVar("Task")
Result = TypeVar("Result")

LIBRARY = Path(__file__).parents[1]
RETRIES = 3  # of a task whose worker or node died
PATIENCE = 10.0  # seconds to wait for an answer of the cluster's head
AHEAD = 1_000  # tasks that Ray has at a time, with the content of their files


def run_on_cluster(
    work: Work[Task, Result],
    tasks: Sequence[Task],
    device: torch.device,
    cores: int,
    report: Callable[[int, int, float], None],
) -> Iterator[tuple[int, Result]]:
    """As `tasks.run_tasks`: each task gets `cores`, or a GPU of its own.

    `work` is sent to each node once. A task is begun again, elsewhere if need be, when its worker
    or its node dies. What `work` and tasks have of this machine becomes the node's
    (`_TRANSLATED`).

    Raises
    ------
    PipelineError
        If Ray is not installed, the cluster is not there or has no room for a task, a node differs
        from this machine, or a task's workers died too often.
    """
    if not tasks:
        return
    ray = _connected()
    needs = {"num_gpus": 1, "num_cpus": 1} if device.type == "cuda" else {"num_cpus": cores}
    _check_room(ray, needs)
    reports = _queue_here(ray)
    remote = ray.remote(_on_node).options(**needs, max_retries=RETRIES)
    constant = ray.put(work), device.type, _environment(device), reports
    waiting, pending = enumerate(tasks), dict[Any, int]()
    try:
        while True:
            for index, task in islice(waiting, AHEAD - len(pending)):
                pending[remote.remote(index, task, *constant)] = index
            if not pending:
                break
            done, _ = ray.wait(list(pending), timeout=0.2)
            drain(reports, report)
            for reference in done:
                yield pending.pop(reference), _result(ray, reference)
    finally:
        _end(ray, list(pending))


def _on_node(
    index: int,
    task: Task,
    work: Work[Task, Result],
    device: str,
    expected: dict[str, str],
    reports: Any,
) -> Result:
    """Run one task; in a process of a node."""
    _check_node(device, expected)
    with one_thread():
        return work(task, lambda *state: reports.put_nowait((index, *state)))


def _file_of_a_node(sent: tuple[Path, bytes]) -> File:
    return File(*sent)


def _store_of_a_node(is_on: bool) -> CellStore:
    return CellStore.from_environment() if is_on else CellStore(None, 0)


# What means something on this machine alone: what is sent for it, and what a node makes of that.
# A file brings its content, a store is the node's own, and so is a GPU, whose number may differ.
_TRANSLATED: dict[type, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    File: (lambda file: (file.path, file.read_bytes()), _file_of_a_node),
    CellStore: (lambda store: store.folder is not None, _store_of_a_node),
    torch.device: (lambda device: device.type, torch.device),
}


def _environment(device: torch.device) -> dict[str, str]:
    """What decides the bits of results: all our code, what runs it, the kind of device."""
    return fingerprint.environment(device, _code_digest())


@cache
def _code_digest() -> str:
    return fingerprint.digest_of_code(fingerprint.files_of(["**/*.py"]))


def _check_node(device: str, expected: dict[str, str]) -> None:
    """Refuse to compute where the same fingerprint would mean other bits."""
    from ray.util import get_node_ip_address

    here = _environment(choose_device(device))
    for key, value in expected.items():
        if here[key] != value:
            words = "processor" if key == "device" else key
            raise PipelineError(
                f"Ray node {get_node_ip_address()}: its {words} is {here[key]}, this machine's is "
                f"{value}, so its results would not be the same. Make them equal, or take that "
                "node out of the cluster."
            )


def _connected() -> Any:
    """Ray, connected to the cluster until this process ends, as a cluster of its own does then."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # tells nobody
    try:
        import ray
    except ImportError as error:
        raise PipelineError(
            "params.yaml: compute.engine: ray needs the package: "
            "`pip install -r requirements-ray.txt`, or set it to local"
        ) from error
    if ray.is_initialized():
        return ray
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
    for kind, (sent, made) in _TRANSLATED.items():
        ray.util.register_serializer(kind, serializer=sent, deserializer=made)
    return ray


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
            f"no node of the Ray cluster has {wanted} for a task: see device and "
            "compute.cores_per_task in params.yaml, and what `ray status` lists"
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
            f"the Ray cluster gave up on a task, after {RETRIES} retries: {_in_short(error)} "
            "Run the same command again; what is finished is not computed again."
        ) from error


def _in_short(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
