"""Turn raw files into tensors, split once for all cells: ``python -m stages.prepare compas``."""

from pathlib import Path

from pipeline.core.dataset import save_dataset
from pipeline.core.params import load_params
from pipeline.core.stage import argument, run_stage
from pipeline.data.registry import DATASETS
from pipeline.data.sources import verify_all


def main() -> None:
    """Write ``data/prepared/<name>/``."""
    name = argument("name", __doc__, DATASETS)
    params = load_params(Path("params.yaml"))

    recipe = DATASETS[name]
    raw = Path("data/raw", name)
    verify_all(recipe.files(), raw)
    prepared = recipe.prepare(raw, params.split_seed)
    folder = Path("data/prepared", name)
    save_dataset(folder, prepared)
    sizes = f"{len(prepared.train)} train, {len(prepared.valid)} valid, {len(prepared.test)} test"
    print(f"{name}: {sizes} -> {folder}")


if __name__ == "__main__":
    run_stage(main)
