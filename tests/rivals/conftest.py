import pytest
import torch

from pipeline.core.dataset import Dataset, Split
from pipeline.core.params import load_params
from tests.conftest import REPOSITORY


@pytest.fixture
def settings():
    """The sections `rivals` and `evaluate` of the smoke preset."""
    params = load_params(REPOSITORY / "presets/smoke.yaml")
    return params.rivals, params.evaluate


@pytest.fixture
def table():
    """Random rows of six features in [0, 1]: 60, 15 and 12 of them."""
    generator = torch.Generator().manual_seed(0)
    splits = (torch.rand(size, 6, generator=generator) for size in (60, 15, 12))
    train, valid, test = (Split(x, (x.sum(1) > 3).long()) for x in splits)
    names, ends = tuple("abcdef"), (torch.tensor(0.0), torch.tensor(1.0))
    return Dataset("made up", train, valid, test, names, ("no", "yes", "?"), 0.0, 1.0, *ends, "")
