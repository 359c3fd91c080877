import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup
from PIL import Image

from tests.reporting.workspace import REPOSITORY, default_params, make_workspace


def run_stage(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the stage in `folder`, with the repository's code."""
    return subprocess.run(
        [sys.executable, "-m", "stages.report"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )


def written(folder: Path) -> list[Path]:
    """What the stage has written."""
    reports = folder / "reports"
    paths = [reports / name for name in ("report.ipynb", "report.html", "claims.json")]
    return [path for path in (*paths, *reports.glob("figures/*")) if path.exists()]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A finished small run, and its report."""
    folder = tmp_path_factory.mktemp("run")
    make_workspace(folder, default_params())
    (folder / "reports/figures").mkdir(exist_ok=True)
    (folder / "reports/figures/stale.png").write_bytes(b"of an older run")
    done = run_stage(folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert re.fullmatch(r"report: \d+ figures -> reports/report\.html\n", done.stdout)
    return folder


@pytest.fixture(scope="module")
def soup(workspace):
    return BeautifulSoup((workspace / "reports/report.html").read_text("utf-8"), "html.parser")


def test_the_page_is_whole(soup):
    images = soup.find_all("img")
    assert len(images) > 15
    assert all(len(image["alt"]) > 20 for image in images)
    assert all(image["src"].startswith("data:image/png;base64,") for image in images)
    assert len(soup.select_one(".claims").select("tbody tr")) == 12
    assert len(soup.nav.find_all("a")) == len(soup.find_all("h2")) == 13


def test_claims_are_those_of_the_page(workspace, soup):
    claims = json.loads((workspace / "reports/claims.json").read_text("utf-8"))
    rows = soup.select_one(".claims").select("tbody tr")  # the first such table
    assert len(claims) == 7 * len(rows)
    for row in rows:
        identity = row.th.small.text
        verdict = row.find_all("td")[-1]
        assert claims[f"{identity}.verdict"] == verdict.find(string=True)
        reason = claims[f"{identity}.reason"]
        assert reason is None or reason == verdict.small.text.replace("\u00a0", " ")


def test_the_page_needs_nothing_from_elsewhere(soup):
    for tag in soup.find_all(True):
        for attribute in ("src", "href"):
            assert tag.get(attribute, "#").startswith(("#", "data:"))
    assert not soup.find_all("script")
    text = str(soup)
    assert "://" not in re.sub(r"base64,[A-Za-z0-9+/=]+", "", text)


def test_the_page_shows_no_code_and_no_accident(soup):
    for word in ("numbers.", "gallery.", "import ", "Traceback", "Warning", "NaN", "nan ", "In ["):
        assert word not in soup.main.text, word


def test_the_notebook_is_executed_and_clean(workspace):
    path = workspace / "reports/report.ipynb"
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    kinds = {output.output_type for cell in code for output in cell.outputs}
    assert kinds <= {"display_data", "execute_result"}
    text = path.read_text("utf-8")
    assert str(workspace) not in text
    assert "papermill" not in json.dumps(notebook.metadata)


def test_figures_are_those_of_the_page(workspace, soup):
    files = sorted((workspace / "reports/figures").glob("*.png"))
    assert len(files) == len(soup.find_all("img"))
    for file in files:
        with Image.open(file) as image:
            assert image.width >= 700


def test_a_failing_cell_ends_the_stage_and_leaves_nothing(tmp_path):
    make_workspace(tmp_path, default_params())
    missing = tmp_path / "models/mnist_senn/lambda=0.01/seed=6.safetensors"
    missing.unlink()
    done = run_stage(tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: reports/template.ipynb: cell ")
    assert "lambda=0.01/seed=6.safetensors" in done.stderr
    assert "Traceback" not in done.stderr
    assert not written(tmp_path)
    assert not list((tmp_path / "reports").glob(".*"))
