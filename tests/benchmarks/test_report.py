import pytest

from benchmarks.report import picture, tables
from pipeline.reporting.style import png
from tests.benchmarks.results import RESULTS


def test_every_number_is_in_its_column():
    first, *sections = tables(RESULTS).split("\n\n")
    assert first == "Measured on: A Processor (AVX9), 3 cores, torch 9.9.9, Python 3.99, Linux."
    lines = {}
    for section in sections:
        name, head, *body = section.splitlines()
        columns = head.split()
        lines[name] = [dict(zip(columns, line.split(), strict=True)) for line in body]
    steps, grids, growth = lines["steps:"], lines["end_to_end:"], lines["growth:"]
    assert len(steps) == len(RESULTS["steps"])
    assert steps[0].items() >= {"method": "textbook", "width": "–", "ms": "4"}.items()
    one_probe = {"experiment": "compas_senn", "method": "pipeline", "probes": "1", "width": "5"}
    assert steps[3].items() >= (one_probe | {"ms": "0.25", "ms_low": "0.225"}).items()
    assert [row["cells"] for row in grids] == ["15", "15", "1000"]
    assert [row["seconds"] for row in grids] == ["152", "4", "40"]
    assert growth[0].items() >= {"classes": "2", "concepts": "5", "textbook_ms": "300"}.items()


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
