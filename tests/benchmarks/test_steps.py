"""What is made of measurements; the measurements themselves are made up."""

import pytest
import torch

from benchmarks import growth, steps
from benchmarks.end_to_end import Run, _parts, _textbook_row
from benchmarks.measure import Speed
from benchmarks.memory import MIB
from benchmarks.problems import compas
from benchmarks.settings import Settings

CPU = torch.device("cpu")
SETTINGS = Settings(rounds=3, seconds=0.1, widths=(1, 5, 15))


@pytest.fixture
def measured(monkeypatch):
    """Calls in order. The machine becomes slower with each: a pair's ratio must not show it."""
    calls = []

    def speed(what, ms, peak):
        calls.append(what)
        slower = 1.0 + (len(calls) - 1) // 2  # the same for both of a pair
        return Speed(ms * slower, 10, peak, 1, 2)

    def bank(problem, device, seconds, width):
        probes = problem.params.robustness.probes
        return speed((probes, width), 20.0 / width, (300 + 100 * width) * MIB)

    monkeypatch.setattr(steps, "bank_speed", bank)
    monkeypatch.setattr(steps, "textbook_speed", lambda *_: speed("textbook", 40.0, 300 * MIB))
    monkeypatch.setattr(steps, "textbooks_side_by_side", lambda *_: speed("again", 30.0, MIB))
    monkeypatch.setattr(steps, "available_memory", lambda: 100_000 * MIB)
    return calls


def test_every_measurement_follows_one_of_the_textbook(tmp_path, measured):
    steps.time_steps([compas(tmp_path)], CPU, SETTINGS, lambda _: None)
    assert set(measured[::2]) == {"textbook"}
    ways = ["again", *((probes, width) for probes in ("exact", 1) for width in (1, 5, 15))]
    assert measured[1::2] == ways * 3


def test_ratios_are_of_pairs(tmp_path, measured):
    rows = steps.time_steps([compas(tmp_path)], CPU, SETTINGS, lambda _: None)
    textbook, again, *banks = rows
    assert (textbook["method"], again["method"]) == ("textbook", "textbook")
    assert textbook["measurements"] == 21
    assert (textbook["ms_low"], textbook["ms"], textbook["ms_high"]) == (40, 40 * 11, 40 * 21)
    assert again["faster"] == pytest.approx(40 / 30, rel=1e-3)
    assert [row["faster"] for row in banks] == [2, 10, 30] * 2
    assert [row["peak_mib"] for row in banks] == [400, 800, 1800] * 2
    assert {row["measurements"] for row in banks} == {3}


def test_banks_that_would_not_fit_are_not_tried(tmp_path, measured, monkeypatch):
    """15 models need 1800 MiB a process, which two points on the line foretell."""
    monkeypatch.setattr(steps, "cores", lambda: 2)
    monkeypatch.setattr(steps, "available_memory", lambda: 4499 * MIB)
    rows = steps.time_steps([compas(tmp_path)], CPU, SETTINGS, lambda _: None)
    skipped = [row for row in rows if "skipped" in row]
    assert [(row["probes"], row["width"]) for row in skipped] == [("exact", 15), (1, 15)]
    assert skipped[0]["skipped"] == "would need 3600 MiB, 4499 MiB are free"
    assert ("exact", 15) not in measured
    monkeypatch.setattr(steps, "available_memory", lambda: 4501 * MIB)
    rows = steps.time_steps([compas(tmp_path)], CPU, SETTINGS, lambda _: None)
    assert not any("skipped" in row for row in rows)


def test_a_full_gpu_is_reported_and_the_rest_measured(tmp_path, measured, monkeypatch):
    def full(problem, device, seconds, width):
        if width == 15:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")
        return Speed(1.0, 10, MIB, 1, 1)

    monkeypatch.setattr(steps, "bank_speed", full)
    rows = steps.time_steps([compas(tmp_path)], torch.device("cuda"), SETTINGS, lambda _: None)
    assert "again" not in measured, "one process has the GPU"
    banks = rows[1:]
    assert ["skipped" in row for row in banks] == [False, False, True] * 2
    assert banks[2]["skipped"] == "more than the GPU's memory"


def test_textbook_runs_are_extrapolated_without_their_starts():
    row = _textbook_row([Run(12.0, 10.0, None), Run(13.0, 10.0, None)], measured=4, wanted=15)
    assert row["training"] == 75
    assert row["seconds"] == 77.5
    assert row["extrapolated"]


@pytest.mark.parametrize(
    ("runs", "rounds", "parts"), [(15, 3, [5, 5, 5]), (7, 3, [3, 2, 2]), (2, 3, [1, 1])]
)
def test_runs_are_spread_over_rounds(runs, rounds, parts):
    assert _parts(runs, rounds) == parts


def test_growth_measures_models_of_these_sizes(tmp_path, monkeypatch):
    """Made-up speeds: the textbook's backward passes, the classes of the exact loss, one probe."""

    def sizes(problem):
        experiment = problem.params.experiment(problem.name)
        return experiment.num_classes, experiment.num_concepts

    def textbook(problem, device, seconds):
        return Speed(float(sum(sizes(problem))), 1, MIB, 1, 1)

    def bank(problem, device, seconds, width):
        assert width == 5
        exact = problem.params.robustness.probes == "exact"
        return Speed(float(sizes(problem)[0]) if exact else 1.0, 1, MIB, 1, 1)

    monkeypatch.setattr(growth, "textbook_speed", textbook)
    monkeypatch.setattr(growth, "bank_speed", bank)
    settings = Settings(classes=(2, 20), concepts=(3,))
    rows = growth.time_growth(tmp_path, CPU, settings, lambda _: None)
    keys = ("along", "classes", "concepts", "textbook_ms", "exact_ms", "probes_1_ms")
    assert [tuple(row[key] for key in keys) for row in rows] == [
        ("classes", 2, 5, 7.0, 2.0, 1.0),
        ("classes", 20, 5, 25.0, 20.0, 1.0),
        ("concepts", 10, 3, 13.0, 10.0, 1.0),
    ]
