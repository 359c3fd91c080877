"""What is measured of which cells, at which radii; tables; and the cell store."""

import math
from collections.abc import Iterator

import pandas as pd
import pytest
import torch

from pipeline.core.cells import Cell
from pipeline.core.params import Certify
from pipeline.core.run import Run
from pipeline.core.store import CellStore
from pipeline.metrics import worst_case as library
from pipeline.metrics.measurement import measure
from pipeline.metrics.worst_case import Result, Task, certify, worst_case, worst_case_table
from tests.metrics.data import dataset
from tests.metrics.models import random_image_senn, random_table_senn, senn, two_classes
from tests.stages.workspace import untrained_compas

SETTINGS = Certify(experiments=(), seeds=1, table_anchors=5, table_radii=(0.1,), image_anchors=3,
                   image_radii=(0.01,), steps=2, restarts=1, branches=500)  # fmt: skip


def result(seed, radii, values):
    task = Task(Cell("x", 0.1, seed), "certify", radii)
    return Result(task, [{"found": of_radius} for of_radius in values])


def test_a_row_a_quantity_and_radius_over_seeds_and_examples():
    results = [
        result(1, (0.3,), [[3.0, 1.0, 2.0]]),
        result(1, (0.1,), [[5.0, 5.0, 5.0]]),
        result(2, (0.1, 0.3), [[7.0, 7.0, 7.0], [4.0, math.nan, 4.0]]),
    ]
    table = worst_case_table(results, 100)
    assert table["radius"].tolist() == [0.1, 0.3]
    assert table["value"].tolist() == [6, 3]  # of medians 5 and 7, 2 and 4
    assert table["undefined"].tolist() == [0, 1]
    assert table["seeds"].tolist() == [2, 2] and table["examples"].tolist() == [3, 3]
    assert table["value_low"][0] == pytest.approx(6 - 12.706, abs=1e-2)  # Student's t, 2 seeds


def test_of_a_table_the_ratio_is_over_what_is_exact():
    here = certify(random_table_senn(), dataset((6,), 3), SETTINGS, [0.5])[0]
    assert len(here["found"]) == 5
    for anchor, found, exact, certified, ratio in zip(
        *(here[name] for name in ("anchor", "found", "exact", "certified", "certified_ratio")),
        strict=True,
    ):
        assert anchor <= found <= exact <= certified
        assert ratio == pytest.approx(certified / exact)


def test_of_images_the_ratio_is_over_what_was_found():
    here = certify(random_image_senn(), dataset((1, 28, 28), 4), SETTINGS, [0.01])[0]
    assert "exact" not in here and len(here["found"]) == 3
    assert here["certified_ratio"] == pytest.approx(
        [c / f for c, f in zip(here["certified"], here["found"], strict=True)]
    )
    assert all(c < i for c, i in zip(here["certified"], here["intervals"], strict=True))


def test_too_many_branches_leave_the_ratio_to_what_was_found():
    few = SETTINGS.model_copy(update={"branches": 1})
    here = certify(random_table_senn(), dataset((6,), 3), few, [3.0])[0]
    undefined = [math.isnan(value) for value in here["exact"]]
    assert any(undefined)
    place = undefined.index(True)
    assert here["certified_ratio"][place] == here["certified"][place] / here["found"][place]


def test_larger_boxes_than_those_with_too_many_patterns_are_not_tried(monkeypatch):
    asked = []

    def too_many(model, x, target, box, found, branches):
        asked.append(branches)
        return torch.full_like(found, torch.nan)

    monkeypatch.setattr(library, "exact_constant", too_many)
    certify(random_table_senn(), dataset((6,), 3), SETTINGS, [0.1, 0.2, 0.3])
    assert asked == [500, 0, 0]


def test_of_unknown_layers_only_what_was_found_is_there():
    model = senn(lambda x: two_classes(x**2))
    assert certify(model, dataset((2,), 2), SETTINGS, [0.1])[0].keys() == {"anchor", "found"}


def test_relevances_that_never_change_have_no_ratio():
    model = random_table_senn()
    *_, last = model.parameterizer.layers
    with torch.no_grad():
        last.weight.zero_()
    here = certify(model, dataset((6,), 3), SETTINGS, [0.1])[0]
    assert here["found"] == [0] * 5 and all(math.isnan(v) for v in here["certified_ratio"])


@pytest.mark.usefixtures("in_this_process")
def test_the_store_keeps_what_was_measured(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    changes = {"seeds": [2, 1], "certify": {"seeds": 2, "table_radii": [0.1, 0.5]}}
    params = untrained_compas(changes, test_examples=50)
    store = CellStore(tmp_path / "store", 10**9)
    data, models = tmp_path / "data/prepared", tmp_path / "models"
    run = Run(params, torch.device("cpu"), data, models, store)

    def measured() -> pd.DataFrame:
        results = measure(run, worst_case(run))["compas_senn"]
        assert [task.cell.seed for task, _ in results] == [2, 1]
        return worst_case_table(results, 100)

    table = measured()
    assert set(table["measure"]) == {"certify"}  # no learned concepts
    assert set(table["radius"]) == {0.1, 0.5} and set(table["seeds"]) == {2}

    def nothing_left(work, tasks, *_) -> Iterator[tuple[int, object]]:
        assert not tasks
        return iter(())

    monkeypatch.setattr("pipeline.core.tasks.run_side_by_side", nothing_left)
    pd.testing.assert_frame_equal(measured(), table)
