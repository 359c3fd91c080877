"""Pick the headline metrics of an experiment: ``python -m stages.headline compas_senn``."""

from pathlib import Path

from pipeline.core.files import write_json
from pipeline.core.params import load_params
from pipeline.core.stage import argument, run_stage
from pipeline.metrics.headline import headline_metrics


def main() -> None:
    """Write ``reports/metrics/<entry>/<experiment>.json``, of λ = ``robust_reg``."""
    entry = argument("entry", __doc__)
    table = Path("reports/lambda", f"{entry}.csv")
    for name, metrics in headline_metrics(table, load_params().robust_reg).items():
        write_json(Path("reports/metrics", entry, f"{name}.json"), metrics)


if __name__ == "__main__":
    run_stage(main)
