"""What was measured is not measured again, and anything it follows from makes it new."""

from pathlib import Path

import pytest

from pipeline.core.errors import PipelineError
from pipeline.core.params import Compute
from pipeline.core.store import CellStore
from pipeline.metrics import side_by_side as library
from pipeline.metrics.comparison import compare_methods
from pipeline.metrics.grid import evaluate_grids
from pipeline.metrics.side_by_side import EVALUATING, EXPLAINING, Kept, keys_of, side_by_side
from tests.conftest import REPOSITORY
from tests.stages.workspace import untrained_compas
from tests.test_dvc_yaml import code_of
from tests.training.grids import CPU, settings, write_data
from tests.training.test_fingerprint import WITHOUT_EFFECT

NAME = "compas_senn"
LOCAL = Compute()


def work(task: int, report: object) -> dict[str, float]:
    return {"third": task / 3, "undefined": float("inf")}


def refuse(task: object, report: object) -> None:
    pytest.fail(f"measured again: {task}")


@pytest.fixture
def store(tmp_path) -> CellStore:
    return CellStore(tmp_path / "store", 10**9)


def test_what_is_kept_is_not_measured_again(store):
    kept = Kept(store, ["a" * 64, "b" * 64, "c" * 64], dict, dict)
    first = side_by_side("some", work, [1, 2, 3], CPU, LOCAL, kept=kept)
    assert first == [work(task, None) for task in (1, 2, 3)]
    assert side_by_side("all", refuse, [1, 2, 3], CPU, LOCAL, kept=kept) == first
    more = Kept(store, ["d" * 64, *kept.keys], dict, dict)
    assert side_by_side("one", work, [0, 1, 2, 3], CPU, LOCAL, kept=more) == [work(0, None), *first]


def test_a_grid_is_measured_and_explained_once(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    params = untrained_compas({"explain": {"seeds": 1}}, 40)
    data, models = Path("data/prepared"), Path("models")
    evaluations = evaluate_grids(params, NAME, CPU, data, models, store)
    scores = compare_methods(params, NAME, CPU, data, models, store)
    monkeypatch.setattr(library, "run_tasks", lambda _, tasks, *rest: map(refuse, tasks, tasks))
    # Another headline λ and other seeds to explain measure no model again.
    other = params.model_copy(update={"robust_reg": params.lambdas(NAME)[-1]})
    assert evaluate_grids(other, NAME, CPU, data, models, store) == evaluations
    again = compare_methods(params, NAME, CPU, data, models, store)
    for method, (one,) in again[NAME].items():
        (expected,) = scores[NAME][method]
        for part, other_part in zip(one, expected, strict=True):
            assert part.keys() == other_part.keys()
            for name, array in part.items():
                assert array.dtype == other_part[name].dtype
                assert (array == other_part[name]).all() or (array != array).any()


@pytest.mark.parametrize("measure", [evaluate_grids, compare_methods])
def test_a_missing_cell_is_named(measure, tmp_path):
    data = write_data(NAME, tmp_path / "compas").parent
    with pytest.raises(PipelineError, match=r"cannot read .*seed=.*safetensors"):
        measure(settings({}), NAME, CPU, data, tmp_path / "models")


def test_all_that_a_result_follows_from_is_in_its_key(tmp_path):
    data, other = write_data(NAME, tmp_path / "a"), write_data(NAME, tmp_path / "b", train=30)
    task = {"cell": "0" * 64, "evaluate": {"anchors": 3}}
    (key,) = keys_of([task], EVALUATING, [data], CPU)
    assert keys_of([dict(reversed(task.items()))], EVALUATING, [data], CPU) == [key]
    others = [
        keys_of([{**task, "cell": "1" * 64}], EVALUATING, [data], CPU),
        keys_of([{**task, "evaluate": {"anchors": 4}}], EVALUATING, [data], CPU),
        keys_of([task], EXPLAINING, [data], CPU),
        keys_of([task], EVALUATING, [other], CPU),
    ]
    assert len({key, *(other for (other,) in others)}) == 5


@pytest.mark.parametrize(("stage", "code"), [("evaluate", EVALUATING), ("explain", EXPLAINING)])
def test_all_code_that_measures_counts(stage, code):
    pipeline = REPOSITORY / "pipeline"
    imported = {p.relative_to(pipeline).as_posix() for p in code_of(stage) if pipeline in p.parents}
    counted = library.files_of(code)
    assert imported - counted <= WITHOUT_EFFECT
    assert not counted & {"metrics.py", "training/bank.py", "reporting/display.py"}
