"""Do models trained with one random probe agree with those trained with the exact loss?

``python -m benchmarks.probes_agreement`` trains every experiment of params.yaml twice, over five
seeds × its λ, with `robustness.probes` exact and 1 and all else the same, and compares accuracy and
exact robustness loss on the test set. Cells come from the user's cell store where it has them.

On tables the review's loss is one gradient whatever the probes (pipeline/training/robustness.py),
so the two models are the same; tables are therefore compared under ``paper2018`` as well.
"""

import argparse
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
from scipy import stats

from benchmarks.measure import REPOSITORY, changed
from benchmarks.report import in_words, machine, parser
from benchmarks.timings import PROBES
from pipeline.claims.wording import lambda_label
from pipeline.core.dataset import load_dataset, read_dataset
from pipeline.core.device import choose_device
from pipeline.core.files import write_bytes, write_csv
from pipeline.core.params import Params, load_params
from pipeline.core.run import Run
from pipeline.core.stage import run_stage
from pipeline.core.store import CellStore
from pipeline.metrics.evaluation import correct, residual_norm
from pipeline.models.weights import load_cell
from pipeline.training.engine import train_grids
from pipeline.training.pretrain import pretrain_all
from pipeline.training.task import Job

METRICS = {"accuracy": "test accuracy", "robustness_loss": "test robustness loss"}
_SEEDS = (111, 333, 555, 777, 999)
_KEYS = ["experiment", "variant", "robust_reg"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, compare, and write ``probes_agreement{_cells.csv,.md}``."""
    options = _options(arguments)
    params = load_params(options.params)
    no_own = {f"experiments.{name}.seeds": None for name in params.experiments}
    params = changed(params, {"explain.seeds": 1, "seeds": options.seeds, **no_own})
    device = choose_device(options.device)
    # Of tables one is enough; the others have the same models whatever the probes.
    alone = [name for name in params.experiments if not params.group_of(name)]
    names = options.experiments or alone
    if any(params.experiment(name).model_class == "DiSENN" for name in names):
        pretrain_all(Run(params, device, options.data, options.work))
    tables, store = [], CellStore.from_environment()
    for name in names:
        for variant in _variants(params, name, options.data):
            for probes in PROBES:
                print(f"{name}, {variant}, probes {probes}", flush=True)
                changes = {"robustness.variant": variant, "robustness.probes": probes}
                # Models overwrite the last ones, and are read at once.
                run = Run(changed(params, changes), device, options.data, options.work, store)
                tables.append(train_and_test(Job(run, name)))
    cells = pd.concat(tables, ignore_index=True)
    summary = summarise(cells)
    write_csv(options.output / "probes_agreement_cells.csv", cells)
    text = in_markdown(summary, in_words(machine(device)))
    write_bytes(options.output / "probes_agreement.md", text.encode())
    print(text)


def summarise(cells: pd.DataFrame) -> pd.DataFrame:
    """One row per experiment, variant, λ and metric.

    Mean and sample standard deviation over seeds, with the exact loss and with one probe; the
    difference of the means; the `spread` of seeds, the root mean square of the two standard
    deviations; and whether the difference is `within` it.

    Parameters
    ----------
    cells : one row per cell: experiment, variant, robust_reg, seed, probes, and the metrics.
    """
    rows = []
    for key, group in cells.groupby(_KEYS, sort=False):
        exact, probe = (group[group["probes"] == str(probes)] for probes in PROBES)
        for metric in METRICS:
            a, b = exact[metric], probe[metric]
            difference, spread = b.mean() - a.mean(), math.sqrt((a.var() + b.var()) / 2)
            row = dict(zip(_KEYS, key, strict=True)) | {"metric": metric, "seeds": len(a)}
            row |= {"exact_mean": a.mean(), "exact_sd": a.std()}
            row |= {"probe_mean": b.mean(), "probe_sd": b.std(), "difference": difference}
            rows.append(row | {"spread": spread, "within": abs(difference) <= spread})
    return pd.DataFrame(rows)


def in_markdown(summary: pd.DataFrame, where: str) -> str:
    """The comparison for a reader."""
    head = ["experiment", "loss", "λ", "metric", "exact", "1 probe", "difference", "within spread"]
    body = [
        [
            row["experiment"],
            row["variant"],
            lambda_label(row["robust_reg"]),
            METRICS[row["metric"]],
            f"{row['exact_mean']:.4g} ± {row['exact_sd']:.2g}",
            f"{row['probe_mean']:.4g} ± {row['probe_sd']:.2g}",
            f"{row['difference']:+.2g}",
            "yes" if row["within"] else "no",
        ]
        for row in summary.to_dict("records")
    ]
    is_same = (summary["exact_mean"] == summary["probe_mean"]) & (
        summary["exact_sd"] == summary["probe_sd"]
    )
    moved, seeds = summary[~is_same], summary["seeds"].min()
    chance = 2 * stats.t.sf(math.sqrt(seeds / 2), 2 * seeds - 2)
    text = (
        f"Mean ± standard deviation over {seeds} seeds on the test set, of models trained with "
        "`robustness.probes` exact and 1. The difference of the means is within the seeds' "
        f"spread in {moved['within'].sum()} of {len(moved)} comparisons; in another "
        f"{is_same.sum()} there is no difference at all. Two sets of {seeds} seeds trained the "
        f"same way would differ by more in {chance:.0%} of comparisons. Trained on {where}."
    )
    title = "# One probe or the exact robustness loss"
    lines = [head, ["-" * len(cell) for cell in head], *body]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return "\n\n".join([title, text, table + "\n"])


def _variants(params: Params, name: str, prepared: Path) -> Iterator[str]:
    """The variant of `params`, and another where probes make no difference to it."""
    yield params.robustness.variant
    is_table = load_dataset(prepared / params.experiment(name).dataset).kind == "tables"
    if params.robustness.variant == "review2020" and is_table:
        yield "paper2018"


def train_and_test(job: Job) -> pd.DataFrame:
    """Train the cells of an experiment; their accuracy and exact robustness loss on test data."""
    train_grids([job])
    device, robustness = job.run.device, job.run.params.robustness
    data = read_dataset(job.data).to(device)
    rows = []
    for cell in job.grid():
        model = load_cell(cell.path(job.models))[0].to(device)
        rows.append(
            {
                "experiment": job.name,
                "variant": robustness.variant,
                "robust_reg": cell.robust_reg,
                "seed": cell.seed,
                "probes": str(robustness.probes),
                "accuracy": float(correct(model, data.test).double().mean()),
                "robustness_loss": float(residual_norm(model, data.test.x).double().mean()),
            }
        )
    return pd.DataFrame(rows)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    options = parser("benchmarks.probes_agreement", __doc__)
    options.add_argument("--params", type=Path, default=REPOSITORY / "params.yaml")
    options.add_argument("--data", type=Path, default=REPOSITORY / "data/prepared")
    options.add_argument("--experiments", nargs="+", help="all if not given")
    options.add_argument("--seeds", nargs="+", type=int, default=list(_SEEDS))
    options.add_argument("--work", type=Path, default=REPOSITORY / "benchmarks/work/probes")
    options.add_argument("--output", type=Path, default=REPOSITORY / "benchmarks/results")
    return options.parse_args(arguments)


if __name__ == "__main__":
    run_stage(main)
