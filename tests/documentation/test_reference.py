"""The reference has every key of params.yaml and every column of the committed tables."""

import json
import re

import pandas as pd
import pytest
from ruamel.yaml import YAML

from documentation import parameters
from pipeline.core.errors import PipelineError
from pipeline.core.params_types import Section
from pipeline.metrics.scores import SCORES
from tests.conftest import REPOSITORY

METRICS = (REPOSITORY / "docs/metrics.md").read_text(encoding="utf-8")
REPORTS = REPOSITORY / "reports"
EVERYWHERE = [*REPORTS.glob("*.csv"), *REPORTS.glob("*/*.csv")]
# Those of the full run have the same columns.
TABLES = sorted(path for path in EVERYWHERE if path.parent.name != "paper")


def documented(folder: str) -> tuple[set[str], list[str]]:
    """Names in the first columns of the tables on `folder`, and endings such as ``_low``."""
    section = next(
        part for part in re.split("^## ", METRICS, flags=re.M) if f"`{folder}" in part[:70]
    )
    cells = [line.split(" | ")[0] for line in section.splitlines() if line.startswith("| `")]
    names = set(re.findall(r"`([\w…]+)`", " ".join(cells)))
    return {n for n in names if "…" not in n}, [n[1:] for n in names if n.startswith("…")]


@pytest.mark.parametrize("table", TABLES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_column_is_explained(table):
    name = table.name if table.parent.name == "reports" else f"{table.parent.name}/"
    names, endings = documented(f"reports/{name}")
    for column in pd.read_csv(table, nrows=0).columns:
        roots = [column.removesuffix(ending) for ending in endings if column.endswith(ending)]
        assert names & {column, *roots}, column


@pytest.mark.parametrize("folders", [("cells", "lambda"), ("methods",), ("curves",), ("study",)])
def test_no_column_is_explained_that_is_not_there(folders):
    tables = [path for folder in folders for path in (REPORTS / folder).glob("*.csv")]
    columns = {column for path in tables for column in pd.read_csv(path, nrows=0).columns}
    assert documented(f"reports/{folders[0]}/")[0] <= columns


def test_the_headline_metrics_are_explained():
    for path in (REPORTS / "metrics").rglob("*.json"):
        assert documented("reports/metrics/")[0] == set(json.loads(path.read_text())), path.name


def test_every_score_of_methods_is_explained():
    assert set(SCORES) <= documented("reports/methods/")[0]


def test_the_page_of_parameters_is_what_the_models_say():
    page = (REPOSITORY / parameters.PAGE).read_text(encoding="utf-8")
    assert page == parameters.page(), "run `make docs`"


@pytest.mark.parametrize(
    "file", ["params.yaml", "presets/paper.yaml", "presets/smoke.yaml"], ids=str
)
def test_it_has_every_key(file):
    page = (REPOSITORY / parameters.PAGE).read_text(encoding="utf-8")
    tables = {
        key.strip("`"): set(re.findall(r"^\| `(\w+)` \|", body, flags=re.M))
        for key, body in re.findall(r"^## (.+)\n((?:(?!## ).*\n?)*)", page, flags=re.M)
    }

    def check(section, where):
        for key, value in section.items():
            assert key in tables[where or "The top level"], f"{where}: {key}"
            below = f"{where}.{key}".removeprefix(".")
            if below in ("experiments", "study"):
                for entry in value.values():
                    own = entry.pop("tables", {})
                    for section in (entry, *own.values()):
                        check(section or {}, f"{below}.<name>")
            elif isinstance(value, dict):
                name = value.pop("name", None)
                check(value, f"{below}, name: {name}" if name else below)

    check(YAML(typ="safe", pure=True).load(REPOSITORY / file), "")


def test_it_says_what_is_allowed():
    page = (REPOSITORY / parameters.PAGE).read_text(encoding="utf-8")
    assert "| `dropout` | number ≥ 0, < 1 |" in page
    assert "| `reduction` | `batch`, `example` |" in page
    assert "| `channels` | list of whole numbers ≥ 1 |" in page


def test_meanings_are_read_from_docstrings():
    words = parameters.meanings("Head.\n\na, b : one\n    and two.\nc : three.\n")
    assert words == {"": "Head.", "a": "one and two.", "b": "one and two.", "c": "three."}


def test_a_key_that_no_docstring_explains_is_an_error(monkeypatch):
    class Small(Section):
        """Two keys.

        one : the first.
        """

        one: int
        two: int

    monkeypatch.setattr(parameters, "Params", Small)
    with pytest.raises(PipelineError, match=r"^two: the docstring of its section"):
        parameters.page()
