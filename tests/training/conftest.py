"""Training in this process."""

import pytest

from pipeline.core import tasks
from tests.training.grids import run_in_turn


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks are run here; `workers` and `cluster` have tests of their own."""
    monkeypatch.setattr(tasks, "run_side_by_side", run_in_turn)
