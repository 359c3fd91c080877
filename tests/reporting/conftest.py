from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.measure import of_what_there_is
from pipeline.claims.results import Results
from pipeline.claims.verdicts import as_table, verdicts
from pipeline.core.files import write_csv
from tests.reporting.workspace import default_params, make_workspace


@pytest.fixture
def run(tmp_path) -> Callable[..., Results]:
    """``run(**changes)``: results of a small finished run with these params changed."""

    def results(**changes: Any) -> Results:
        make_workspace(tmp_path, of_what_there_is(default_params() | changes))
        write_claims(tmp_path)
        return read(tmp_path)

    return results


@pytest.fixture(scope="session")
def results(tmp_path_factory) -> Results:
    """Of a small finished run with the default params, for tests that leave it as it is."""
    folder = tmp_path_factory.mktemp("run")
    make_workspace(folder, default_params())
    write_claims(folder)
    return read(folder)


def write_claims(folder: Path) -> None:
    """As stage `report` judges them, before it draws."""
    write_csv(folder / "reports/claims.csv", as_table(verdicts(read(folder))))


def read(folder: Path) -> Results:
    """The results of the run in `folder`."""
    places = ("params.yaml", "models", "data/prepared", "reports")
    return Results(*(str(folder / place) for place in places))
