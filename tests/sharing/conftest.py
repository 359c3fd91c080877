"""The models of a small synthetic run, as stage `share` writes them."""

from pathlib import Path

import pytest
import torch

from pipeline.core.params import Params, load_params
from pipeline.core.run import Run
from pipeline.sharing.card import release
from tests.reporting.workspace import default_params, make_workspace


@pytest.fixture(scope="session")
def shared_run(tmp_path_factory) -> Path:
    """A folder with params.yaml, data, models and reports, and the released models in there."""
    folder = tmp_path_factory.mktemp("shared")
    make_workspace(folder, default_params())
    params: Params = load_params(folder / "params.yaml")
    run = Run(params, torch.device("cpu"), folder / "data/prepared", folder / "models")
    for name in params.experiments:
        entry = params.entry_of(name)
        cells = folder / f"reports/cells/{entry}.csv"
        release(run, name, cells, folder / "reports/models" / entry)
    return folder


@pytest.fixture
def models(shared_run, monkeypatch) -> Path:
    """The folder of the released models, from which `pipeline.explain.load` then takes them."""
    monkeypatch.setattr("pipeline.explain.MODELS", shared_run / "reports/models")
    monkeypatch.setattr("pipeline.explain.PREPARED", shared_run / "data/prepared")
    return shared_run / "reports/models"
