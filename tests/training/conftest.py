"""How training is done in tests: in this process, in float64."""

from collections.abc import Iterator

import pytest
import torch

from pipeline.core import tasks
from tests.training.grids import run_in_turn


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks are run here; `workers` and `cluster` have tests of their own."""
    monkeypatch.setattr(tasks, "run_side_by_side", run_in_turn)


@pytest.fixture
def in_double_precision() -> Iterator[None]:
    """Stacks and random numbers in float64, in which two ways to train stay together longer."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
