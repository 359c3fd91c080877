"""Training in this process."""

import pytest

from pipeline.training import engine, pretrain
from tests.training.grids import run_as_one_node, run_in_turn


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks are run here; `workers` and `cluster` have tests of their own."""
    for module in (engine, pretrain):
        monkeypatch.setattr(module, "run_side_by_side", run_in_turn)
    monkeypatch.setattr(engine, "run_on_cluster", run_as_one_node)
