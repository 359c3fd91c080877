import pytest

from benchmarks.report import markdown, picture, tables
from pipeline.reporting.style import png
from tests.benchmarks.results import RESULTS


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_markdown_is_aligned():
    lines = markdown(["a", "bc"], [["123", 4], [5.5, None]]).splitlines()
    assert lines == ["| a   | bc |", "| --- | -- |", "| 123 | 4  |", "| 5.5 | –  |"]


def test_every_number_is_where_it_belongs():
    first, steps, whole, growth = tables(RESULTS).split("\n\n")
    assert first == ("Measured on: A Processor (AVX9), 3 cores, torch 9.9.9, Python 3.99, Linux.")
    steps = [cells(line) for line in steps.splitlines()]
    assert steps[2] == [
        *("COMPAS-SENN", "textbook, exact", "–", "3 × 1", "4", "3.6 … 4.4", "777", "1"),
    ]
    assert steps[5] == [
        *("COMPAS-SENN", "1 probe", "5", "3 × 1", "0.25", "0.225 … 0.275", "777", "16"),
    ]
    assert len(steps) == 2 + len(RESULTS["steps"])

    whole = [cells(line) for line in whole.splitlines()]
    assert whole[2] == [
        *("textbook, one after the other (2 runs measured, extrapolated)", "15", "152", "–"),
        *("150", "–", "1"),
    ]
    assert whole[3] == ["pipeline", "15", "4", "4 … 4", "3", "888", "38"]
    assert whole[4] == ["pipeline", "1000", "40", "40 … 40", "39", "888", "253.3"]

    growth = [cells(line) for line in growth.splitlines()]
    assert growth[0][3:] == ["exact, banks of 5", "1 probe, banks of 5"]
    assert growth[2] == ["2", "5", "300", "120", "33"]


@pytest.mark.parametrize("section", ["steps", "end_to_end", "growth"])
def test_a_section_alone(section):
    alone = {"machine": RESULTS["machine"], section: RESULTS[section]}
    assert len(tables(alone).split("\n\n")) == 2
    assert png(picture(alone))[:4] == b"\x89PNG"


def test_figure_draws_what_was_measured():
    figure = picture(RESULTS)
    drawn = {axes.get_title(loc="left"): axes for axes in figure.axes if axes.lines}
    assert list(drawn) == [
        "COMPAS-SENN, batch 200",
        "MNIST-SENN, batch 200",
        "COMPAS grids, 100 epochs",
        "MNIST-SENN, 5 concepts",
        "MNIST-SENN, 10 classes",
    ]
    textbook, engine = drawn["COMPAS grids, 100 epochs"].lines
    assert list(engine.get_ydata()) == [4.0, 40.0]
    assert list(textbook.get_ydata()) == pytest.approx([152.0, 152.0 / 15 * 1000])
    lines = {line.get_label(): line for line in drawn["MNIST-SENN, 5 concepts"].lines}
    assert list(lines["banks, 1 probe"].get_xdata()) == [2, 10]
    assert list(lines["textbook"].get_ydata()) == [300.0, 300.0]
    assert png(figure) == png(picture(RESULTS))
