"""Turn raw files into tensors, split once for all cells: ``python -m stages.prepare compas``."""

from pathlib import Path

from pipeline.core.dataset import SPLITS, save_dataset
from pipeline.core.params import load_params
from pipeline.core.stage import argument, run_stage
from pipeline.data.registry import collections, files_of, prepare
from pipeline.data.sources import verify_all


def main() -> None:
    """Write ``data/prepared/<name>/``, of a collection ``data/prepared/<name>/<table>/``."""
    together = collections()
    name = argument("name", __doc__, together)
    params = load_params(Path("params.yaml"))

    raw = Path("data/raw", name)
    verify_all(files_of(name), raw)
    for dataset in together[name]:
        prepared = prepare(dataset, raw, params.split_seed, params.texts)
        folder = Path("data/prepared", dataset)
        save_dataset(folder, prepared)
        sizes = ", ".join(f"{len(getattr(prepared, split))} {split}" for split in SPLITS)
        print(f"{dataset}: {sizes} -> {folder}")


if __name__ == "__main__":
    run_stage(main)
