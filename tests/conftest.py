"""Fixtures that several test modules share."""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.core.errors import PipelineError
from pipeline.data.registry import files_of
from pipeline.data.sources import MIRROR_VARIABLE, fetch_all
from pipeline.metrics.measurement import dataset_on
from tests.distribution import place, unit

REPOSITORY = Path(__file__).resolve().parents[1]
BESIDE = REPOSITORY.parent / "shared" / "data"

# As in the workers that train: bits depend on it, and tests run side by side.
torch.set_num_threads(1)
# Tests compute, and leave the user's store alone; those about a store name one.
os.environ["SENN_CELL_STORE"] = "off"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests first: workers that run them side by side then end together."""
    items.sort(key=lambda item: place(item.nodeid))


@pytest.hookimpl(optionalhook=True)  # xdist may not be there
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Have workers take units of tests in order, whatever ``--dist`` says."""
    from xdist.scheduler import LoadScopeScheduling

    class InUnits(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return unit(nodeid)

    config.option.loadscopereorder = False
    return InUnits(config, log)


@pytest.fixture(autouse=True)
def no_dataset_remembered() -> None:
    """A worker remembers the data set that it read last by its path, which may be relative."""
    dataset_on.cache_clear()


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks are run here; `workers` and `cluster` have tests of their own."""
    from tests.training.grids import run_in_turn  # which imports this module

    monkeypatch.setattr("pipeline.core.tasks.run_side_by_side", run_in_turn)


@pytest.fixture(scope="session")
def raw_data(request: pytest.FixtureRequest) -> Callable[[str], Path]:
    """``raw_data(name)``: folder with the real raw files of a dataset or collection, verified.

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
            fetch_all(files_of(name), folder, mirror)
        except PipelineError as error:
            if name == "mnist":
                pytest.skip(f"full MNIST is not within reach: {error}")
            raise
        return folder

    return get
