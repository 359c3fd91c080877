"""How training is done in tests: in float64."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture
def in_double_precision() -> Iterator[None]:
    """Stacks and random numbers in float64, in which two ways to train stay together longer."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
