import base64
import json
import re
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from PIL import Image

from benchmarks.measure import of_what_there_is
from pipeline.claims.published import CLAIMS
from tests.conftest import REPOSITORY
from tests.processes import run_stage
from tests.reporting.workspace import default_params, make_workspace


def written(folder: Path) -> list[Path]:
    """What the stage has written."""
    reports = folder / "reports"
    names = ("report.ipynb", "report.html", "claims.csv", "claims.json")
    paths = [reports / name for name in names]
    return [path for path in (*paths, *reports.glob("figures/*")) if path.exists()]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A finished small run without DiSENN, whose figures are tested elsewhere, and its report."""
    folder, params = tmp_path_factory.mktemp("run"), default_params()
    del params["experiments"]["mnist_disenn"]
    params["report"] = {"explanations": 1, "prototypes": 2}
    make_workspace(folder, of_what_there_is(params))
    (folder / "reports/figures").mkdir(exist_ok=True)
    (folder / "reports/figures/stale.png").write_bytes(b"of an older run")
    done = run_stage(folder, "report")
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
    assert len(soup.select_one(".claims").select("tbody tr")) == len(CLAIMS)
    cells = nbformat.read(REPOSITORY / "reports/template.ipynb", as_version=4).cells
    headings = [line for cell in cells for line in cell.source.split("\n") if line[:3] == "## "]
    assert [f"## {link.text}" for link in soup.nav.find_all("a")] == headings


def test_figures_and_tables_have_numbers_captions_and_links(soup):
    for kind, found in (("Figure", soup.find_all("figure")), ("Table", soup.select(".table"))):
        for number, part in enumerate(found, start=1):
            caption = part.find(["figcaption", "caption"])
            assert caption.text.startswith(f"{kind} {number}. ")
            assert len(caption.text) > len(f"{kind} {number}. ")
            assert part.select_one("a.here")["href"] == f"#{part['id']}"
    ids = [tag["id"] for tag in soup.find_all(id=True)]
    assert len(ids) == len(set(ids))


def test_links_lead_somewhere(soup):
    ids = {tag["id"] for tag in soup.find_all(id=True)}
    targets = [link["href"] for link in soup.find_all("a")]
    assert {target[1:] for target in targets if target.startswith("#")} <= ids
    outside = [target for target in targets if not target.startswith("#")]
    for target in outside:
        path = target.removeprefix("../").partition("#")[0]
        assert target.startswith("https://") or (REPOSITORY / path).is_file(), target
    assert {"https://arxiv.org/abs/1806.07538", "https://github.com/AmanDaVinci/SENN"} <= {*outside}


def test_the_findings_come_first(soup):
    first = soup.find("h2")
    assert first["id"] == "what-was-found"
    assert len(first.find_next("ul").find_all("li")) > 3


def test_claims_are_those_of_the_page(workspace, soup):
    claims = json.loads((workspace / "reports/claims.json").read_text("utf-8"))
    rows = soup.select_one(".claims").select("tbody tr")  # the first such table
    table = pd.read_csv(workspace / "reports/claims.csv", index_col="claim")
    statuses = {claim: re.split("[:;]", words)[0] for claim, words in claims.items()}
    assert statuses == table["verdict"].to_dict()
    assert [row.th.small.text for row in rows] == list(claims)
    for row, reason in zip(rows, table["reason"].fillna(""), strict=True):
        verdict = row.find_all("td")[-1]
        assert statuses[row.th.small.text] == verdict.find(string=True, recursive=False)
        assert reason == "" or reason == verdict.small.text.replace("\u00a0", " ")


def test_the_page_needs_nothing_from_elsewhere(soup):
    for tag in soup.find_all(lambda tag: tag.name != "a"):
        for attribute in ("src", "href"):
            assert tag.get(attribute, "#").startswith(("#", "data:"))
    links = r"<a [^>]*>|base64,[A-Za-z0-9+/=]+"  # followed by readers alone
    assert "://" not in re.sub(links, "", str(soup))


def test_the_page_shows_no_code_and_no_accident(soup):
    for word in ("page.show", "import ", "Traceback", "Warning", "NaN", "nan ", "In ["):
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
    assert "image/png" not in text
    assert "papermill" not in json.dumps(notebook.metadata)


def test_figures_are_those_of_the_page(workspace, soup):
    files = sorted((workspace / "reports/figures").glob("*.png"))
    assert len(files) == len(soup.find_all("img"))
    for file in files:
        with Image.open(file) as image:
            assert image.width >= 700


def test_the_notebook_shows_the_figures_from_their_files(workspace, soup):
    notebook = nbformat.read(workspace / "reports/report.ipynb", as_version=4)
    shown = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            images = BeautifulSoup(output.data.get("text/html", ""), "html.parser").find_all("img")
            shown += [(workspace / "reports" / image["src"], image["alt"]) for image in images]
    in_page = {
        base64.b64decode(image["src"].partition(",")[2]): image["alt"]
        for image in soup.find_all("img")
    }
    assert {path.read_bytes(): alt for path, alt in shown} == in_page


def failed(folder: Path) -> str:
    """What the stage says of its failure, which left no file half written."""
    done = run_stage(folder, "report")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert not list((folder / "reports").glob(".*"))
    return done.stderr


def test_without_a_model_nothing_is_judged_and_nothing_left(tmp_path):
    make_workspace(tmp_path, default_params())
    (tmp_path / "models/mnist_senn/lambda=0.01/seed=6.safetensors").unlink()
    error = failed(tmp_path)
    assert error.startswith("error: ") and "lambda=0.01/seed=6.safetensors" in error
    assert not written(tmp_path)


def test_a_failing_cell_ends_the_stage_and_leaves_no_page(tmp_path):
    params = default_params()  # of a table, as images are costly to explain
    params["experiments"] = {"compas_senn": params["experiments"]["compas_senn"]}
    make_workspace(tmp_path, of_what_there_is(params))
    (tmp_path / "reports/curves/compas_senn.csv").unlink()
    error = failed(tmp_path)
    assert error.startswith("error: reports/template.ipynb: cell ")
    assert "reports/curves/compas_senn.csv" in error
    assert {path.name for path in written(tmp_path)} == {"claims.csv", "claims.json"}
