"""What was measured is not measured again, and anything it follows from makes it new."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from pipeline.core.errors import PipelineError
from pipeline.core.run import Run
from pipeline.core.store import CellStore
from pipeline.metrics import measurement as library
from pipeline.metrics.comparison import compare_methods
from pipeline.metrics.grid import evaluate_grids
from pipeline.metrics.measurement import (
    EVALUATING,
    EXPLAINING,
    Measurement,
    Subject,
    measure_models,
)
from tests.conftest import REPOSITORY
from tests.stages.workspace import untrained_compas
from tests.test_dvc_yaml import code_of
from tests.training.grids import CPU, run_in_turn, settings, write_data
from tests.training.test_fingerprint import WITHOUT_EFFECT

NAME = "compas_senn"


def work(subject: tuple[object, object, int], report: object) -> dict[str, float]:
    return {"third": subject[2] / 3, "undefined": float("inf")}


def refuse(task: object, report: object) -> None:
    pytest.fail(f"measured again: {task}")


@pytest.fixture
def store(tmp_path) -> CellStore:
    return CellStore(tmp_path / "store", 10**9)


def test_what_is_kept_is_not_measured_again(store, tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.core.tasks.run_side_by_side", run_in_turn)
    data, cell = write_data(NAME, tmp_path / "compas"), tmp_path / "cell"
    cell.write_bytes(b"a model")
    run = Run(settings({}), CPU, data.parent, tmp_path, store)

    def measure(work, *tasks: int) -> list[dict[str, float]]:
        measurement = Measurement("some", work, EVALUATING, dict, dict)
        subjects = [Subject(cell, data, {"task": task}, task) for task in tasks]
        return measure_models(run, measurement, subjects)

    first = measure(work, 1, 2, 3)
    assert first == [{"third": task / 3, "undefined": float("inf")} for task in (1, 2, 3)]
    assert measure(refuse, 1, 2, 3) == first
    assert measure(work, 0, 1, 2, 3) == [{"third": 0.0, "undefined": float("inf")}, *first]


def test_a_grid_is_measured_and_explained_once(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    params = untrained_compas({"explain": {"seeds": 1}}, 40)
    run = Run(params, CPU, Path("data/prepared"), Path("models"), store)
    evaluations, scores = evaluate_grids(run, NAME), compare_methods(run)
    monkeypatch.setattr(library, "run_tasks", lambda _, tasks, *rest: map(refuse, tasks, tasks))
    # Another headline λ and other seeds to explain measure no model again.
    other = params.model_copy(update={"robust_reg": params.lambdas(NAME)[-1]})
    assert evaluate_grids(replace(run, params=other), NAME) == evaluations
    again = compare_methods(run)
    for method, (one,) in again[NAME].items():
        (expected,) = scores[NAME][method]
        for part, other_part in zip(one, expected, strict=True):
            assert part.keys() == other_part.keys()
            for name, array in part.items():
                assert array.dtype == other_part[name].dtype
                assert (array == other_part[name]).all() or (array != array).any()


@pytest.mark.parametrize("measure", [partial(evaluate_grids, entry=NAME), compare_methods])
def test_a_missing_cell_is_named(measure, tmp_path):
    data = write_data(NAME, tmp_path / "compas").parent
    with pytest.raises(PipelineError, match=r"cannot read .*seed=.*safetensors"):
        params = settings({"explain.experiments": [NAME]})  # those whose data are there
        measure(Run(params, CPU, data, tmp_path / "models"))


def test_all_that_a_result_follows_from_is_in_its_key(store, tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.core.tasks.run_side_by_side", run_in_turn)
    data, other = write_data(NAME, tmp_path / "a"), write_data(NAME, tmp_path / "b", train=30)
    for name in ("one", "two"):
        (tmp_path / name).write_text(name)
    run = Run(settings({}), CPU, tmp_path, tmp_path, store)
    measured = []

    def note(subject: object, report: object) -> dict[str, float]:
        measured.append(subject)
        return {}

    def measure(cell="one", data=data, code=EVALUATING, **protocol: int) -> int:
        """How many tasks this makes."""
        before = len(measured)
        subject = Subject(tmp_path / cell, data, {"a": 1, "b": 2} | protocol)
        measure_models(run, Measurement("some", note, code, dict, dict), [subject])
        return len(measured) - before

    assert (measure(), measure(), measure(b=2, a=1)) == (1, 0, 0)
    others = [{"cell": "two"}, {"data": other}, {"code": EXPLAINING}, {"a": 2}]
    assert [measure(**change) for change in others] == [1, 1, 1, 1]
    (tmp_path / "two").write_text("one")
    assert measure(cell="two") == 0  # the same file


@pytest.mark.parametrize(("stage", "code"), [("evaluate", EVALUATING), ("explain", EXPLAINING)])
def test_all_code_that_measures_counts(stage, code):
    pipeline = REPOSITORY / "pipeline"
    imported = {p.relative_to(pipeline).as_posix() for p in code_of(stage) if pipeline in p.parents}
    counted = library.files_of(code)
    assert imported - counted <= WITHOUT_EFFECT
    assert not counted & {"metrics.py", "training/bank.py", "reporting/display.py"}
