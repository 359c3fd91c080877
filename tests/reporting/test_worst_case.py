"""The sections on the worst case: what they say of the tables, and the images they attack."""

import pandas as pd
import pytest
import torch

from pipeline.claims.wording import probability
from pipeline.metrics.attacks import ball
from pipeline.reporting import worst_case
from pipeline.reporting.common import examples_at, raw
from pipeline.reporting.display import Picture, Prose, Table
from pipeline.reporting.worst_case import attacked_digits, by_radius, widest


@pytest.fixture(autouse=True)
def quick_to_draw(monkeypatch):
    monkeypatch.setattr("pipeline.reporting.style.DPI", 30)


@pytest.mark.parametrize(
    ("ratios", "expected"),
    [
        ([1.0, 1.0, 1.0], 1.0),  # never above
        ([1.0, 4.0, 16.0], 0.01 * 10**0.5),  # half-way, on log axes
        ([1.0, 2.0, 200.0], 0.1),
        ([2.5, 4.0, 9.0], 0.0),  # always above
        ([float("nan"), 1.0, 1.0], 0.0),
    ],
)
def test_up_to_which_radius_bounds_are_near(ratios, expected):
    assert widest([0.01, 0.1, 1.0], ratios, 2.0) == pytest.approx(expected)


def test_tables_by_radius_are_ascending():
    rows = [
        {"measure": measure, "quantity": "found", "radius": radius, "value": radius,
         "value_low": 0.0, "value_high": 9.0, "undefined": 0}
        for measure in ("certify", "attack")
        for radius in (0.3, 0.1)
    ]  # fmt: skip
    table = by_radius(pd.DataFrame(rows), "attack")
    assert table.index.tolist() == [0.1, 0.3]
    assert table["found"]["value"].tolist() == [0.1, 0.3]


def test_what_is_exact_for_some_examples_only_is_left_out():
    row = {"measure": "certify", "quantity": "exact", "value": 1.0, "value_low": 1.0,
           "value_high": 1.0}  # fmt: skip
    rows = [row | {"radius": 0.1, "undefined": 0}, row | {"radius": 0.5, "undefined": 3}]
    found = [one | {"quantity": "found"} for one in rows]
    table = by_radius(pd.DataFrame(rows + found), "certify")
    assert table["found"]["value"].tolist() == [1, 1]
    assert table["exact"]["value"].isna().tolist() == [False, True]


def test_bounds_and_attacks_are_shown_as_measured(run):
    results = run()
    parts = worst_case.bounds(results)
    tables = [part for part in parts if isinstance(part, Table)]
    assert len(tables) == 3 == len([part for part in parts if isinstance(part, Picture)])
    table = tables[0]  # COMPAS
    assert table.header == (
        "half width", "at the example", "found", "exact", "certified", "ratio", "ratio by intervals"
    )  # fmt: skip
    assert table.rows[0][0] == "0.1" and table.rows[0][3] == "1.50\n1.35 to 1.65"
    words = [part.markdown for part in parts if isinstance(part, Prose)]
    # Ratios 1.5, 3, … at 0.1, 0.5, …; by intervals from 2.5 on.
    assert "certified, up to 0.2" in words[1] and "from 0.1 on" in words[1]

    parts = worst_case.attacks(results)
    tables = [part for part in parts if isinstance(part, Table)]
    assert len(tables) == 2  # not of the table
    assert tables[0].header[1] == "concepts, other classes"
    assert [row[1].split("\n")[0] for row in tables[0].rows] == ["1.00", "2.00", "3.00"]


def test_attacked_digits_are_attacked_and_keep_their_class(run):
    results = run()
    experiment = results.experiments["mnist_senn"]
    model, data = experiment.model, experiment.data
    images, labels, values = attacked_digits(experiment, 0.2)
    assert images.shape[:2] == (2, 2) and values["concepts"].shape[:2] == (2, 2)
    index = examples_at(experiment)[:1]
    before = torch.from_numpy(images[0, :1])
    torch.testing.assert_close(before, raw(data.test.x[index], data))
    after = (torch.from_numpy(images[0, 1:]) - data.mean) / data.std
    assert (after - data.test.x[index]).abs().max() <= ball(data, 0.2).half_width.max() + 1e-4
    prediction = model(data.test.x[index]).logits.argmax(1)
    output = model(after)
    share = output.logits.softmax(1).max().item()
    assert labels[0][1] == f"{data.class_names[int(prediction)]}\n{probability(share)}"
    near = {"rtol": 1e-3, "atol": 1e-3}
    concepts, theta = (torch.from_numpy(values[name][0]) for name in ("concepts", "relevances"))
    torch.testing.assert_close(concepts[1], output.concepts[0].detach(), **near)
    there = output.relevances[0, :, prediction[0]].detach()
    torch.testing.assert_close(theta[1], there, **near)
    assert (concepts[1] - concepts[0]).abs().max() > 0
