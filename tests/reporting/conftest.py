import json
from collections.abc import Callable
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from benchmarks.measure import of_what_there_is
from pipeline.claims.results import Results
from pipeline.claims.verdicts import as_table, verdicts
from pipeline.core.files import write_csv
from tests.reporting.workspace import default_params, make_workspace


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Callable[..., Path]:
    """``made(**changes)``: folder of a small finished run with these params changed, to copy."""
    folders: dict[str, Path] = {}

    def make(**changes: Any) -> Path:
        key = json.dumps(changes)
        if key not in folders:
            folder = tmp_path_factory.mktemp("run")
            make_workspace(folder, of_what_there_is(default_params() | changes))
            write_claims(folder)
            folders[key] = folder
        return folders[key]

    return make


@pytest.fixture
def run(made, tmp_path) -> Callable[..., Results]:
    """``run(**changes)``: results of a small finished run with these params changed."""
    return lambda **changes: read(copytree(made(**changes), tmp_path, dirs_exist_ok=True))


@pytest.fixture(scope="session")
def results(made) -> Results:
    """Of a small finished run with the default params, for tests that leave it as it is."""
    return read(made())


def write_claims(folder: Path) -> None:
    """As stage `report` judges them, before it draws."""
    write_csv(folder / "reports/claims.csv", as_table(verdicts(read(folder))))


def read(folder: Path) -> Results:
    """The results of the run in `folder`."""
    places = ("params.yaml", "models", "data/prepared", "reports")
    return Results(*(str(folder / place) for place in places))
