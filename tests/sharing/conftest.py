"""The models of a small synthetic run, as stage `share` writes them."""

from pathlib import Path

import pytest

from pipeline.core.params import Params, load_params
from pipeline.sharing.release import release
from tests.reporting.workspace import default_params, make_workspace


@pytest.fixture(scope="session")
def shared_run(tmp_path_factory) -> Path:
    """A folder with params.yaml, data, models and reports, and the released models in there."""
    folder = tmp_path_factory.mktemp("shared")
    make_workspace(folder, default_params())
    params: Params = load_params(folder / "params.yaml")
    for name in params.experiments:
        entry = params.entry_of(name)
        models, cells = folder / "models" / params.group_of(name), f"reports/cells/{entry}.csv"
        target = folder / "reports/models" / entry
        release(params, name, models, folder / "data/prepared", folder / cells, target)
    return folder


@pytest.fixture
def models(shared_run, monkeypatch) -> Path:
    """The folder of the released models, from which `pipeline.explain.load` then takes them."""
    monkeypatch.setattr("pipeline.explain.MODELS", shared_run / "reports/models")
    monkeypatch.setattr("pipeline.explain.PREPARED", shared_run / "data/prepared")
    return shared_run / "reports/models"
