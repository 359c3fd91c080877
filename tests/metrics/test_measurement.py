"""What was measured is not measured again, and anything it follows from makes it new."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from pipeline.core.cells import Cell
from pipeline.core.errors import PipelineError
from pipeline.core.run import Run
from pipeline.core.store import CellStore
from pipeline.metrics import measurement as library
from pipeline.metrics.comparison import comparison
from pipeline.metrics.evaluation import evaluate_grids
from pipeline.metrics.measurement import (
    EVALUATING,
    EXPLAINING,
    Fetched,
    Measurement,
    Subject,
    by_experiment,
    each,
    measure,
    measure_together,
)
from tests.conftest import REPOSITORY
from tests.stages.workspace import untrained_compas
from tests.test_dvc_yaml import code_of
from tests.training.grids import CPU, settings, write_data
from tests.training.test_fingerprint import WITHOUT_EFFECT

pytestmark = pytest.mark.usefixtures("in_this_process")

NAME = "compas_senn"


def work(cell: object, data: object, task: int) -> dict[str, float]:
    return {"third": task / 3, "undefined": float("inf")}


def refuse(*task: object) -> None:
    pytest.fail(f"measured again: {task}")


@pytest.fixture
def store(tmp_path) -> CellStore:
    return CellStore(tmp_path / "store", 10**9)


def test_what_is_kept_is_not_measured_again(store, tmp_path):
    data, cell = write_data(NAME, tmp_path / "compas"), tmp_path / "cell"
    cell.write_bytes(b"a model")
    run = Run(settings({}), CPU, data.parent, tmp_path, store)

    def some(work, *tasks: int) -> Measurement[list[dict[str, float]]]:
        subjects = [Subject(cell, data, {"task": task}, task) for task in tasks]
        return Measurement("some", each(work), EVALUATING, subjects, list)

    first = measure(run, some(work, 1, 2, 3))
    assert first == [{"third": task / 3, "undefined": float("inf")} for task in (1, 2, 3)]
    assert measure(run, some(refuse, 1, 2, 3)) == first
    more = [{"third": 0.0, "undefined": float("inf")}, *first]
    assert measure(run, some(work, 0, 1, 2, 3)) == more


def test_together_is_as_one_by_one(store, tmp_path, capsys):
    data, cell = write_data(NAME, tmp_path / "compas"), tmp_path / "cell"
    cell.write_bytes(b"a model")
    run = Run(settings({}), CPU, data.parent, tmp_path, store)

    def times(factor: int, *tasks: int) -> Measurement[int]:
        def work(cell: object, data: object, task: int) -> dict[str, int]:
            return {"product": factor * task}

        def gather(results: list[dict[str, int]]) -> int:
            return sum(result["product"] for result in results)

        subjects = [Subject(cell, data, {"factor": factor, "task": task}, task) for task in tasks]
        line = "{}: {}".format
        return Measurement(f"times {factor}", each(work), EVALUATING, subjects, gather, line=line)

    assert measure(run, times(10, 2, 3)) == 50
    capsys.readouterr()
    measurements = times(100, 5), times(10, 1, 2, 3), times(7)
    assert measure_together(run, *measurements) == [500, 60, 0]
    printed = capsys.readouterr().out.splitlines()
    assert printed == [
        "times 10: 2 of 3 results reused from the cell store",
        "0: {'product': 500}",
        "0: {'product': 10}",
    ]
    assert [measure(run, one) for one in measurements] == [500, 60, 0]


def test_cells_of_an_experiment_are_measured_together(store, tmp_path):
    data = write_data(NAME, tmp_path / "compas")
    cells = [Cell(name, reg, 0).path(tmp_path) for name in "ab" for reg in (0.0, 0.1, 0.2, 0.3)]
    for cell in cells:
        cell.parent.mkdir(parents=True)
        cell.write_text(str(cell))
    run = Run(settings({}), CPU, data.parent, tmp_path, store)
    parts = []

    def names(models: Sequence[Fetched]) -> list[str]:
        parts.append(len(models))
        return [str(cell.path) for cell, _, _ in models]

    def measured(*cells: Path) -> list[str]:
        subjects = [Subject(cell, data, {}) for cell in cells]
        of_three = {"load": str, "together": 3}
        return measure(run, Measurement("some", names, EVALUATING, subjects, list, **of_three))

    assert measured(cells[1]) == [str(cells[1])]
    assert measured(*cells) == list(map(str, cells))
    assert parts == [1, 3, 3, 1]


def test_by_experiment_results_are_in_the_given_order():
    cells = [Cell(name, 0.1, seed) for name in "ba" for seed in (7, 3)]
    pairs = [(cell, method) for cell in cells for method in ("two", "one")]
    names = [f"{cell.experiment}{cell.seed} {method}" for cell, method in pairs]
    gathered = by_experiment(pairs, dict.fromkeys("ab", ("one", "two")), names)
    assert list(gathered) == ["a", "b"] and list(gathered["a"]) == ["one", "two"]
    assert gathered["a"]["two"] == ["a7 two", "a3 two"]
    assert gathered["b"]["one"] == ["b7 one", "b3 one"]


def test_a_grid_is_measured_and_explained_once(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    params = untrained_compas({"explain": {"seeds": 1}}, 40)
    run = Run(params, CPU, Path("data/prepared"), Path("models"), store)
    evaluations, scores = evaluate_grids(run, NAME), measure(run, comparison(run))
    monkeypatch.setattr(library, "run_tasks", lambda _, tasks, *rest: map(refuse, tasks))
    # Another headline λ and other seeds to explain measure no model again.
    other = params.model_copy(update={"robust_reg": params.lambdas(NAME)[-1]})
    assert evaluate_grids(replace(run, params=other), NAME) == evaluations
    again = measure(run, comparison(run))
    for method, (one,) in again[NAME].items():
        (expected,) = scores[NAME][method]
        for part, other_part in zip(one, expected, strict=True):
            assert part.keys() == other_part.keys()
            for name, numbers in part.items():
                np.testing.assert_array_equal(numbers, other_part[name])


@pytest.mark.parametrize(
    "measured",
    [partial(evaluate_grids, entry=NAME), lambda run: measure(run, comparison(run))],
    ids=["evaluate", "explain"],
)
def test_a_missing_cell_is_named(measured, tmp_path):
    data = write_data(NAME, tmp_path / "compas").parent
    with pytest.raises(PipelineError, match=r"cannot read .*seed=.*safetensors"):
        params = settings({"explain.experiments": [NAME]})  # those whose data are there
        measured(Run(params, CPU, data, tmp_path / "models"))


def test_all_that_a_result_follows_from_is_in_its_key(store, tmp_path):
    data, other = write_data(NAME, tmp_path / "a"), write_data(NAME, tmp_path / "b", train=30)
    for name in ("one", "two"):
        (tmp_path / name).write_text(name)
    run = Run(settings({}), CPU, tmp_path, tmp_path, store)
    measured = []

    def note(*subject: object) -> dict[str, float]:
        measured.append(subject)
        return {}

    def tasks(cell="one", data=data, code=EVALUATING, **protocol: int) -> int:
        """How many tasks this makes."""
        before = len(measured)
        subject = Subject(tmp_path / cell, data, {"a": 1, "b": 2} | protocol)
        measure(run, Measurement("some", each(note), code, [subject], list))
        return len(measured) - before

    assert (tasks(), tasks(), tasks(b=2, a=1)) == (1, 0, 0)
    others = [{"cell": "two"}, {"data": other}, {"code": EXPLAINING}, {"a": 2}]
    assert [tasks(**change) for change in others] == [1, 1, 1, 1]
    (tmp_path / "two").write_text("one")
    assert tasks(cell="two") == 0  # the same file


@pytest.mark.parametrize(("stage", "code"), [("evaluate", EVALUATING), ("explain", EXPLAINING)])
def test_all_code_that_measures_counts(stage, code):
    pipeline = REPOSITORY / "pipeline"
    imported = {p.relative_to(pipeline).as_posix() for p in code_of(stage) if pipeline in p.parents}
    counted = library.files_of(code)
    assert imported - counted <= WITHOUT_EFFECT
    assert not counted & {"metrics.py", "training/bank.py", "reporting/display.py"}
