import json
import pickle
import subprocess
import sys

import pytest

from benchmarks.measure import of_what_there_is
from pipeline.core.errors import PipelineError
from pipeline.core.params_choices import implementation
from pipeline.reporting import side_by_side
from pipeline.reporting.sections import DRAWN_FIRST, SECTIONS
from pipeline.reporting.side_by_side import Page
from tests.conftest import REPOSITORY
from tests.reporting.conftest import write_claims
from tests.reporting.dying import die
from tests.reporting.workspace import default_params, make_workspace


def use(cores, monkeypatch) -> None:
    monkeypatch.setattr(side_by_side, "cores", lambda: cores)


@pytest.fixture
def places(tmp_path) -> tuple[str, ...]:
    """A finished run of one table, as images are costly to explain, without training curves."""
    params = default_params()
    params["experiments"] = {"compas_senn": params["experiments"]["compas_senn"]}
    make_workspace(tmp_path, of_what_there_is(params))
    write_claims(tmp_path)
    (tmp_path / "reports/curves/compas_senn.csv").unlink()
    files = ("params.yaml", "models", "data/prepared", "reports")
    return tuple(str(tmp_path / file) for file in files)


def test_the_notebook_shows_every_section_in_this_order():
    cells = json.loads((REPOSITORY / "reports/template.ipynb").read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    shown = [source for source in sources if source.startswith("page.show")]
    assert shown == [f'page.show("{name}")' for name in SECTIONS]
    assert set(DRAWN_FIRST) < set(SECTIONS)


@pytest.mark.parametrize("name", SECTIONS)
def test_every_section_is_a_function(name):
    assert callable(implementation(f"pipeline.reporting.{name.replace('.', ':')}"))


def test_sections_are_the_same_wherever_they_are_drawn(places, monkeypatch):
    use(2, monkeypatch)
    there = Page(*places)
    use(1, monkeypatch)
    here = Page(*places)
    assert len(there._drawing) == 2 and not here._drawing
    for name in SECTIONS:
        if name in ("collapse.collapse", "training.training"):
            for page in (there, here):
                with pytest.raises(PipelineError, match=r"reports/curves/compas_senn\.csv"):
                    page.drawn(name)
        else:
            assert there.drawn(name) == here.drawn(name), name
            assert there.drawn(name) == here.drawn(name), "may be asked for again"


@pytest.mark.parametrize("cores", [1, 2])
def test_errors_say_what_is_wrong(places, monkeypatch, cores):
    use(cores, monkeypatch)
    with pytest.raises(PipelineError, match=r"params\.yaml"):
        Page("no/params.yaml", *places[1:]).drawn("findings.findings")
    if cores == 1:  # with two, all others would be drawn first
        with pytest.raises(PipelineError, match=r"sections\.py has no section x\.y"):
            Page(*places).drawn("x.y")


def test_any_other_error_comes_with_its_traceback():
    try:
        _ = {}["gone"]
    except KeyError as error:
        sent = pickle.loads(pickle.dumps(side_by_side._to_send(error)))
    assert isinstance(sent, RuntimeError)
    assert "KeyError: 'gone'" in str(sent) and "Traceback" in str(sent)


def test_what_is_shown_is_what_ipython_displays(places, monkeypatch, capsys):
    use(1, monkeypatch)
    page, shown = Page(*places), []
    monkeypatch.setattr("IPython.display.display", lambda *a, **k: shown.append((*a, k)))
    page.show("accuracy.accuracy")
    assert shown == [
        (data, {"metadata": metadata, "raw": True})
        for data, metadata in page.drawn("accuracy.accuracy")
    ]
    assert any("image/png" in data for data, _ in shown)


def test_killed_processes_are_no_riddle(places, monkeypatch):
    use(2, monkeypatch)
    monkeypatch.setattr(side_by_side, "_draw_all", die)
    page = Page(*places)
    with pytest.raises(PipelineError, match="was killed, most likely because memory ran out"):
        page.drawn("findings.findings")


def test_the_kernel_only_shows():
    code = "import sys, pipeline.reporting.side_by_side; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert not {"torch", "pandas", "matplotlib"} & set(run.stdout.split())
