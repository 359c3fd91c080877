"""Fetch and verify the raw files of a dataset: ``python -m stages.download compas``."""

import os
from functools import partial
from pathlib import Path

from pipeline.core.params import load_params
from pipeline.core.stage import argument, run_stage
from pipeline.data.registry import collections, files_of
from pipeline.data.sources import MIRROR_VARIABLE, fetch_all


def main() -> None:
    """Write ``data/raw/<name>/``."""
    name = argument("name", __doc__, collections())
    load_params(Path("params.yaml"))  # report a mistake in it before anything is fetched

    mirror = os.environ.get(MIRROR_VARIABLE)
    fetch_all(files_of(name), Path("data/raw", name), mirror, report=partial(print, flush=True))


if __name__ == "__main__":
    run_stage(main)
