"""Time one way to train: milliseconds per step and model, and memory.

Both ways run their real loops: batches gathered, noise drawn, losses, gradients, Adam, validation
whenever it is due. The start of processes and the first epoch are not counted. Data are random,
with the sizes of the published experiments: a step costs the same whatever the pixels show.
"""

import gc
import multiprocessing
import os
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar

import torch

from benchmarks import textbook
from pipeline.core.cells import Cell
from pipeline.core.dataset import Prepared, Split, load_dataset, save_dataset
from pipeline.core.params import Params, load_params
from pipeline.core.processes import cores
from pipeline.core.store import Checkpoint
from pipeline.core.workers import Report, run_side_by_side
from pipeline.models.building import Inputs, build_senn
from pipeline.training.bank import train_bank
from pipeline.training.objectives import Objective

REPOSITORY = Path(__file__).resolve().parents[1]
PAPER = REPOSITORY / "presets/paper.yaml"
LAMBDAS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
COMPAS, MNIST = "compas_senn", "mnist_senn"
COMPAS_EXAMPLES = (3858, 429, 1072)  # train, valid, test
MNIST_VALID = 6000
MNIST_STEPS = {"cpu": 2, "cuda": 10}  # of 270 in an epoch: the clock is read after each epoch
MIB = 2**20
_ENDLESS = 10**6  # epochs; the stopwatch ends the training
_PATIENCE = 600.0  # seconds within which all processes must have warmed up

P = ParamSpec("P")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Problem:
    """Experiment `name` of `params`, and the folder of its prepared dataset."""

    params: Params
    name: str
    data: Path

    def with_params(self, changes: dict[str, Any]) -> "Problem":
        """The same problem with the values of dotted keys changed."""
        return replace(self, params=changed(self.params, changes))


def compas(folder: Path) -> Problem:
    """COMPAS-SENN with its published settings; writes its data below `folder`."""
    generator = torch.Generator().manual_seed(0)

    def split(examples: int) -> Split:
        x = torch.rand(examples, 11, generator=generator)
        return Split(x, (x[:, 0] > x[:, 1]).long())

    features = tuple(f"feature {i}" for i in range(11))
    train, valid, test = map(split, COMPAS_EXAMPLES)
    prepared = Prepared("compas", train, valid, test, features, ("low", "high"))
    save_dataset(folder / "compas", prepared)
    return Problem(load_params(PAPER), COMPAS, folder / "compas")


def mnist(folder: Path, device_type: str, classes: int = 10, concepts: int = 5) -> Problem:
    """MNIST-SENN with its published settings but for `classes`, `concepts` and fewer batches."""
    generator = torch.Generator().manual_seed(0)
    key = f"experiments.{MNIST}"
    changes = {f"{key}.num_classes": classes, f"{key}.num_concepts": concepts}
    params = changed(load_params(PAPER), changes)

    def split(examples: int) -> Split:
        shape = (examples, 1, 28, 28)
        x = torch.randint(256, shape, generator=generator, dtype=torch.uint8)
        return Split(x, torch.arange(examples) % classes)

    examples = MNIST_STEPS[device_type] * params.experiment(MNIST).batch_size
    train, valid, test = map(split, (examples, MNIST_VALID, classes))
    data, names = folder / f"mnist-{classes}", tuple(map(str, range(classes)))
    save_dataset(data, Prepared("mnist", train, valid, test, (), names, 0.1307, 0.3081))
    return Problem(params, MNIST, data)


def of_what_there_is(params: dict[str, Any]) -> dict[str, Any]:
    """`params` without what concerns experiments that are not among them."""
    there = params["experiments"]
    fewer = {"study": {name: s for name, s in params["study"].items() if name in there}}
    for section in ("explain", "rivals", "certify", "power"):
        names = [name for name in params[section]["experiments"] if name in there]
        fewer[section] = params[section] | {"experiments": names}
    return params | fewer


def changed(params: Params, changes: dict[str, Any]) -> Params:
    """`params` with the values of dotted keys changed; each section is validated by itself.

    Not as a whole, since no real dataset has the class counts that are tried here.
    """
    for key, value in changes.items():
        params = _put(params, key.split("."), value)
    return params


def _put(section: Any, path: list[str], value: Any) -> Any:
    name, *rest = path
    if isinstance(section, dict):
        return section | {name: _put(section[name], rest, value)}
    if rest:
        return section.model_copy(update={name: _put(getattr(section, name), rest, value)})
    return type(section).model_validate(section.model_dump() | {name: value})


class Timing(NamedTuple):
    """`steps` made in `seconds`; the `peak` memory of the process (of the GPU) in bytes."""

    steps: int
    seconds: float
    peak: int
    threads: int


class Speed(NamedTuple):
    """`ms` per step and model, `peak` bytes of the largest process (of the GPU)."""

    ms: float
    peak: int
    processes: int
    threads: int

    @classmethod
    def of(cls, timings: list[Timing], models: int) -> "Speed":
        """The speed of processes that ran at the same time, each training so many `models`."""
        per_second = sum(timing.steps * models / timing.seconds for timing in timings)
        peak = max(timing.peak for timing in timings)
        return cls(1000 / per_second, peak, len(timings), timings[0].threads)


@dataclass(frozen=True)
class Run:
    """A training to be timed for at least so many `seconds`.

    `width` is the number of models in the bank; 0 is the textbook. Processes that run side by side
    share the barrier `warm`, so that their timed parts coincide.
    """

    problem: Problem
    device: torch.device
    seconds: float
    width: int = 0
    threads: int = 1
    warm: Any = None


class Enough(Exception):
    """Raised into a training loop to leave it: enough has been timed."""


class Stopwatch:
    """Called by a training loop as its ``report(epoch, value)``.

    The first epoch, which warms up caches and allocators, is not timed. The loop is left by
    `Enough` at the end of the first later epoch that completes the seconds of `run`.
    """

    def __init__(self, run: Run, epoch_steps: int) -> None:
        self.run, self.epoch_steps = run, epoch_steps
        self.begun, self.steps, self.seconds = 0.0, 0, 0.0

    def __call__(self, epoch: int, value: float) -> None:
        if self.run.device.type == "cuda":
            torch.cuda.synchronize(self.run.device)
        if epoch == 1:
            if self.run.warm is not None:
                self.run.warm.wait(_PATIENCE)
            self.begun = time.perf_counter()
            return
        self.steps += self.epoch_steps
        self.seconds = time.perf_counter() - self.begun
        if self.seconds >= self.run.seconds:
            raise Enough


def textbook_speed(problem: Problem, device: torch.device, seconds: float) -> Speed:
    """The textbook, one model at a time.

    On the CPU with as many threads as cores, or with one if that is faster: with several threads
    every operation waits for the slowest, which takes long on a busy machine.
    """
    run = Run(problem, device, seconds)
    if device.type == "cuda":
        return Speed.of([_train(run)], 1)
    runs = [replace(run, threads=threads) for threads in sorted({cores(), 1}, reverse=True)]
    return min(Speed.of([timing], 1) for timing in in_fresh_process(_train_each, runs))


def side_by_side(problem: Problem, device: torch.device, seconds: float, width: int = 0) -> Speed:
    """Banks of `width` models as the pipeline runs them or, of width 0, textbooks, one per core.

    Each is in a process of its own, on one thread; on a GPU there is one process.
    """
    count = 1 if device.type == "cuda" else cores()
    shares = multiprocessing.get_context("spawn").Manager() if count > 1 else nullcontext()
    with shares as manager:
        warm = manager.Barrier(count) if manager else None
        runs = [Run(problem, device, seconds, width=width, warm=warm)] * count
        done = run_side_by_side(_train, runs, device, lambda *_: None)
        return Speed.of([timing for _, timing in done], width or 1)


def in_fresh_process(work: Callable[P, Result], *given: P.args, **named: P.kwargs) -> Result:
    """``work(*given, **named)`` in a new process, whose peak memory is its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *given, **named).result()


def _train_each(runs: list[Run]) -> list[Timing]:
    return [_train(run) for run in runs]


def _train(run: Run, report: Report | None = None) -> Timing:
    """Train, in a worker perhaps, until the stopwatch says that it is enough."""
    _forget_peak(run.device)
    torch.set_num_threads(run.threads)
    torch.manual_seed(0)
    name, data = run.problem.name, load_dataset(run.problem.data)
    params = changed(run.problem.params, {f"experiments.{name}.epochs": _ENDLESS})
    experiment = params.experiment(name)
    stopwatch = Stopwatch(run, len(data.train) // experiment.batch_size)
    with suppress(Enough):
        if run.width == 0:
            model = textbook.Textbook(params, name, data)
            textbook.train(model, LAMBDAS[0], data, run.device, stopwatch)
        else:
            inputs = Inputs(data.input_shape, data.mean, data.std)
            lambdas = len(LAMBDAS)
            train_bank(
                [Cell(name, LAMBDAS[i % lambdas], i // lambdas) for i in range(run.width)],
                Objective(experiment, params.robustness, params.vae),
                lambda seed: build_senn(name, experiment, params.vae, inputs, seed),
                data.to(run.device),
                stopwatch,
                Checkpoint(None),
            )
    peak = peak_memory(run.device)
    return Timing(stopwatch.steps, stopwatch.seconds, peak, torch.get_num_threads())


def peak_memory(device: torch.device) -> int:
    """Bytes: the most this process ever had resident, or the most torch allocated on a GPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    # Not `getrusage` on Linux: there a new process inherits its parent's peak.
    unit = 1 if sys.platform == "darwin" else 1024
    return _peak_of("self") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _forget_peak(device: torch.device) -> None:
    """Begin a new peak on a GPU; on the CPU a process keeps its peak for life."""
    if device.type == "cuda":
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


@contextmanager
def peak_of_children(interval: float = 0.1) -> Iterator[list[int]]:
    """While the context lasts, note the memory of all processes below this one, in bytes.

    Each entry is the sum, over processes alive together, of the largest resident set each has had:
    never less than what they really have, since shared memory counts once for each. Where there is
    no ``/proc`` the list stays empty.
    """
    totals: list[int] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(interval):
            if total := sum(map(_peak_of, _descendants(str(os.getpid())))):
                totals.append(total)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield totals
    finally:
        over.set()
        thread.join()


def _descendants(process: str) -> list[str]:
    """Ids of the processes that `process` started, and that those started."""
    children = []
    for file in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError):  # it has ended meanwhile
            children += file.read_text().split()
    return children + [other for child in children for other in _descendants(child)]


def _peak_of(process: str) -> int:
    """Bytes: the largest resident set of a process so far; 0 where the system does not say."""
    with suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0
