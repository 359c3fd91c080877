"""Write the headline models and their cards: ``python -m stages.share``."""

from pathlib import Path

from pipeline.core.run import Run
from pipeline.core.stage import run_stage
from pipeline.sharing.card import release


def main() -> None:
    """Write ``<experiment>.safetensors`` and ``.md`` into ``reports/models/<entry>/``."""
    run = Run.of_workspace()
    for name in run.params.experiments:
        entry = run.params.entry_of(name)
        cells, folder = Path("reports/cells", f"{entry}.csv"), Path("reports/models", entry)
        written = release(run, name, cells, folder)
        print(f"{name}: {written.stat().st_size / 1000:,.0f} KB -> {written}")


if __name__ == "__main__":
    run_stage(main)
