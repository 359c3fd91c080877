"""Training in this process, on one thread: bits depend on it."""

import pytest
import torch

from pipeline.training import engine, pretrain
from tests.training.grids import run_in_turn

torch.set_num_threads(1)


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks are run here; `workers` has tests of its own."""
    for module in (engine, pretrain):
        monkeypatch.setattr(module, "run_side_by_side", run_in_turn)
