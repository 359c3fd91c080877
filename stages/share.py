"""Write an experiment's headline model and its card: ``python -m stages.share compas_senn``."""

from pathlib import Path

from pipeline.core.params import load_params
from pipeline.core.stage import argument, run_stage
from pipeline.sharing.release import release


def main() -> None:
    """Write ``<experiment>.safetensors`` and ``.md`` into ``reports/models/<entry>/``."""
    entry = argument("entry", __doc__)
    params = load_params(Path("params.yaml"))

    cells, folder = Path("reports/cells", f"{entry}.csv"), Path("reports/models", entry)
    for name in params.names_of(entry):
        models = Path("models", params.group_of(name))
        written = release(params, name, models, Path("data/prepared"), cells, folder)
        print(f"{name}: {written.stat().st_size / 1000:,.0f} KB -> {written}")


if __name__ == "__main__":
    run_stage(main)
