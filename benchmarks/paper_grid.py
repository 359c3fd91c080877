"""Run the stages of a whole preset, and say how long they took.

``python -m benchmarks.paper_grid`` runs the pipeline's stages on presets/paper.yaml, in the order
of dvc.yaml and without DVC, in a working folder of its own whose cell store begins empty. Into
reports/paper it writes what `dvc repro` would write below reports/, and ``timings.json``. Seconds
are those of whole stages, from the start of their process to its end.
"""

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from benchmarks.machine import describe, in_words
from benchmarks.measure import textbook_speed
from benchmarks.problems import PAPER, REPOSITORY, Problem, changed
from benchmarks.steps import significant
from benchmarks.tables import markdown
from benchmarks.workspace import Workspace
from pipeline.core.dataset import FILE_NAME
from pipeline.core.device import choose_device
from pipeline.core.files import write_json
from pipeline.core.params import Params, load_params
from pipeline.core.stage import run_stage
from pipeline.core.tensors import read_tensors, write_tensors
from pipeline.models.cells import grid

_EPOCH = 10  # steps of an epoch of the textbook: the clock is read after each


def main(arguments: Sequence[str] | None = None) -> None:
    """Run everything, write the results, print them."""
    options = _options(arguments)
    device = choose_device(options.device)
    params = changed(load_params(options.params), {"device": str(device)})
    workspace = Workspace(options.work, params)
    timings = {
        "machine": describe(device),
        "preset": options.params.name,
        **_run_stages(workspace, params),
    }
    if options.textbook:
        timings["textbook"] = _textbook(workspace, params, timings, device, options.textbook)
    write_json(workspace.folder / "reports/timings.json", timings)
    _publish(workspace.folder / "reports", options.output)
    print(_summary(timings, options.output))


def _run_stages(workspace: Workspace, params: Params) -> dict[str, Any]:
    for dataset in params.datasets:
        workspace.run("download", dataset)
        workspace.run("prepare", dataset)
    pretrain = workspace.run("pretrain")
    experiments = {}
    for name in params.experiments:
        cells, seconds = len(grid(params, name)), workspace.run("train", name)
        experiments[name] = {
            "cells": cells,
            "train_seconds": significant(seconds),
            "cells_per_second": significant(cells / seconds),
            "evaluate_seconds": significant(workspace.run("evaluate", name)),
            "explain_seconds": significant(workspace.run("explain", name)),
        }
    study = {name: significant(workspace.run("study", name)) for name in params.study}
    report = workspace.run("report")
    return {
        "cells": sum(experiment["cells"] for experiment in experiments.values()),
        "pretrain_seconds": significant(pretrain),
        "train_seconds": _total(experiments, "train_seconds"),
        "evaluate_seconds": _total(experiments, "evaluate_seconds"),
        "explain_seconds": _total(experiments, "explain_seconds"),
        "study_seconds": study,
        "report_seconds": significant(report),
        "experiments": experiments,
    }


def _textbook(
    workspace: Workspace,
    params: Params,
    timings: dict[str, Any],
    device: torch.device,
    steps: int,
) -> dict[str, Any]:
    """What the same cells would take one after the other, extrapolated from at least `steps` each.

    Without the start of processes, and without validations that are not due in so few steps.
    """
    experiments = {}
    for name, experiment in params.experiments.items():
        data = workspace.folder / "data/prepared" / experiment.dataset
        short = workspace.folder / "textbook" / name
        examples = _shorten(data, short, _EPOCH * experiment.batch_size)
        speed = textbook_speed(Problem(params, name, short), device, seconds=0, steps=steps)
        per_cell = examples // experiment.batch_size * experiment.epochs
        cells = timings["experiments"][name]["cells"]
        experiments[name] = {
            "ms_per_step": significant(speed.ms),
            "steps_measured": speed.steps,
            "steps": per_cell * cells,
            "train_seconds": significant(speed.ms / 1000 * per_cell * cells),
        }
    total = _total(experiments, "train_seconds")
    return {
        "train_seconds": total,
        "faster": significant(total / timings["train_seconds"]),
        "experiments": experiments,
    }


def _shorten(data: Path, short: Path, examples: int) -> int:
    """Copy a prepared data set with its first training `examples`; how many it really has."""
    tensors, metadata = read_tensors(data / FILE_NAME)
    few = {name: value[:examples] for name, value in tensors.items() if name.startswith("train_")}
    write_tensors(short / FILE_NAME, tensors | few, metadata)
    return len(tensors["train_y"])


def _publish(reports: Path, output: Path) -> None:
    """Put a copy of `reports` in the place of `output`, without the template."""
    part = output.with_name(f".{output.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(reports, part, ignore=shutil.ignore_patterns("template.ipynb"))
    shutil.rmtree(output, ignore_errors=True)
    part.rename(output)


def _summary(timings: dict[str, Any], output: Path) -> str:
    """Times per experiment, and the test accuracy of every cell: λ × seeds."""
    head = ["experiment", "cells", "training, s", "cells per s", "evaluation, s", "methods, s"]
    keys = ("cells", "train_seconds", "cells_per_second", "evaluate_seconds", "explain_seconds")
    experiments = timings["experiments"]
    body = [[name, *(f"{row[key]:g}" for key in keys)] for name, row in experiments.items()]
    totals = [f"{timings[key]:g}" for key in ("cells", "train_seconds")]
    rest = [f"{timings[key]:g}" for key in ("evaluate_seconds", "explain_seconds")]
    body.append(["all", *totals, "", *rest])
    if "textbook" in timings:
        head += ["textbook, s", "× textbook"]
        books = timings["textbook"]["experiments"]
        for line, (name, row) in zip(body, experiments.items(), strict=False):
            seconds = books[name]["train_seconds"]
            line += [f"{seconds:g}", f"{seconds / row['train_seconds']:.3g}"]
        body[-1] += [f"{timings['textbook'][key]:g}" for key in ("train_seconds", "faster")]
    parts = [f"{timings['preset']} on {in_words(timings['machine'])}.", markdown(head, body)]
    for name in experiments:
        cells = pd.read_csv(output / "cells" / f"{name}.csv")
        table = cells.pivot(index="robust_reg", columns="seed", values="accuracy")
        head = [f"{name}: λ", *(f"seed {seed}" for seed in table.columns)]
        lines = [[f"{reg:g}", *(f"{value:.4f}" for value in row)] for reg, row in table.iterrows()]
        parts.append(markdown(head, lines))
    return "\n\n".join(parts)


def _total(experiments: dict[str, dict[str, Any]], key: str) -> float:
    return significant(sum(experiment[key] for experiment in experiments.values()))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.paper_grid",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--params", type=Path, default=PAPER)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--work", type=Path, default=REPOSITORY / "benchmarks/work/paper")
    parser.add_argument("--output", type=Path, default=REPOSITORY / "reports/paper")
    parser.add_argument(
        "--textbook",
        type=int,
        metavar="STEPS",
        default=0,
        help="also time the textbook, at least so many steps of each experiment",
    )
    return parser.parse_args(sys.argv[1:] if arguments is None else arguments)


if __name__ == "__main__":
    run_stage(main)
