"""Fixtures that several test modules share."""

import functools
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from pipeline.data.registry import DATASETS
from pipeline.data.sources import MIRROR_VARIABLE, fetch_all
from pipeline.errors import PipelineError

REPOSITORY = Path(__file__).resolve().parents[1]
BESIDE = REPOSITORY.parent / "shared" / "data"

# As in the workers that train: bits depend on it, and tests run side by side.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def raw_data(request: pytest.FixtureRequest) -> Callable[[str], Path]:
    """``raw_data(name)``: folder with the real raw files of a dataset, verified.

    They come from ``SENN_DATA_MIRROR``, else from ``../shared/data`` where a checkout has that
    beside it, else from where the download stage finds them, and stay in pytest's cache. Full
    MNIST is in no package: without a mirror or the internet, its tests are skipped.
    """
    mirror = os.environ.get(MIRROR_VARIABLE) or (str(BESIDE) if BESIDE.is_dir() else None)
    cache = request.config.cache
    assert cache is not None, "the fixture keeps its files in pytest's cache"

    @functools.cache
    def get(name: str) -> Path:
        folder = cache.mkdir("raw-data") / name
        try:
            fetch_all(DATASETS[name].files(), folder, mirror)
        except PipelineError as error:
            if name == "mnist":
                pytest.skip(f"full MNIST is not within reach: {error}")
            raise
        return folder

    return get
