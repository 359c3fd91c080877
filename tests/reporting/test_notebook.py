import os
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from pipeline.core.errors import PipelineError
from pipeline.reporting.notebook import as_text, execute


@pytest.fixture
def template(tmp_path, monkeypatch):
    """``template(*sources)``: a notebook of code cells; the first is tagged as its parameters."""
    monkeypatch.chdir(tmp_path)

    def write(*sources: str):
        cells = [new_markdown_cell("# Title"), *(new_code_cell(source) for source in sources)]
        cells[1].metadata["tags"] = ["parameters"]
        path = tmp_path / "template.ipynb"
        nbformat.write(
            new_notebook(cells=cells, metadata={"language_info": {"name": "python"}}), path
        )
        return path

    return write


def results(notebook) -> list[str]:
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    outputs = [output for cell in cells for output in cell.outputs]
    return [output.get("text") or output.data["text/plain"] for output in outputs]


def test_runs_in_this_interpreter_and_folder_whatever_is_installed(template, tmp_path, monkeypatch):
    path = template(
        "name = 'default'", "import os, sys", "print((name, sys.executable, os.getcwd()))"
    )
    # No kernelspec, none on the path, and startup files that must not run.
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("HOME", "/dev/null")  # nothing can be written below it
    monkeypatch.setenv("JUPYTER_PATH", "/nowhere")
    startup = tmp_path / "ipython/profile_default/startup"
    startup.mkdir(parents=True)
    (startup / "breaks.py").write_text("name = 'changed'; raise SystemExit")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    before = dict(os.environ)
    notebook = execute(path, {"name": "given"}, tmp_path)
    assert results(notebook) == [f"{('given', sys.executable, str(tmp_path))}\n"]
    assert dict(os.environ) == before


def test_two_runs_on_one_thread_give_the_same_text(template, tmp_path):
    path = template("x = 1", "import torch", "torch.get_num_threads()", "{'b', 'a', 'c', str(x)}")
    runs = [execute(path, {"x": 2}, tmp_path) for _ in range(2)]
    assert [results(run)[0] for run in runs] == ["1", "1"]
    first, second = map(as_text, runs)
    assert first == second
    assert "papermill" not in first
    assert "duration" not in first
    nbformat.validate(nbformat.reads(first, as_version=4))


def test_warnings_go_to_the_terminal_not_into_the_report(template, tmp_path, capsys):
    path = template(
        "x = 1",
        "import sys, warnings; warnings.warn('old', DeprecationWarning); "
        "print('care' + 'ful', file=sys.stderr); x",
    )
    notebook = execute(path, {}, tmp_path)
    assert results(notebook) == ["1"]
    assert "careful" not in as_text(notebook)
    told = capsys.readouterr().err
    assert "DeprecationWarning: old" in told
    assert "careful" in told


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("1 / 0", r"template\.ipynb: cell \d \(1 / 0\) failed: ZeroDivisionError: division"),
        (
            "class PipelineError(Exception): pass\nraise PipelineError('do this')",
            "failed: do this$",
        ),
        ("import os; os._exit(7)", "kernel .* failed"),
    ],
)
def test_a_failing_cell_is_named(template, tmp_path, source, message):
    with pytest.raises(PipelineError, match=message):
        execute(template("x = 1", source), {}, tmp_path)


@pytest.mark.parametrize("content", [None, "not a notebook", "{}"])
def test_an_unreadable_template_is_named(tmp_path, content):
    path = tmp_path / "template.ipynb"
    if content is not None:
        path.write_text(content)
    with pytest.raises(PipelineError, match=r"template\.ipynb"):
        execute(path, {}, tmp_path)
