"""Run the stages of a whole preset, and say how long they took.

``python -m benchmarks.paper_grid`` runs the pipeline's stages on presets/paper.yaml, in the order
of dvc.yaml but without DVC, in a working folder of its own with an empty cell store. It writes to
reports/paper what `dvc repro` would write to reports/, and ``timings.json``. Stages are timed from
the start of their process to its end.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import yaml

from benchmarks.measure import PAPER, REPOSITORY, Problem, changed, textbook_speed
from benchmarks.report import in_words, machine, significant, text
from pipeline.core.dataset import FILE_NAME
from pipeline.core.device import choose_device
from pipeline.core.errors import PipelineError
from pipeline.core.files import write_json
from pipeline.core.params import Params, load_params
from pipeline.core.stage import run_stage
from pipeline.core.tensors import read_tensors, write_tensors
from pipeline.models.cells import grid

_TIMES = ("cells", "train_seconds", "evaluate_seconds", "explain_seconds")
_EPOCH_STEPS = 10  # of the textbook: the clock is read after each epoch


def main(arguments: Sequence[str] | None = None) -> None:
    """Run everything, write the results, print them."""
    options = _options(arguments)
    device, folder = choose_device(options.device), options.work.absolute()
    params = changed(load_params(options.params), {"device": str(device)})
    _begin(folder, params)
    timings = {"machine": machine(device), "preset": options.params.name}
    timings |= _run_stages(folder, params)
    if options.textbook:
        timings["textbook"] = _textbook(folder, params, timings, device, options.textbook)
    write_json(folder / "reports/timings.json", timings)
    _publish(folder / "reports", options.output)
    print(_summary(timings, options.output))


def _begin(folder: Path, params: Params) -> None:
    """Make `folder` a working folder with these `params`; of an earlier run only data remain."""
    for made in ("models", "reports", "store"):
        shutil.rmtree(folder / made, ignore_errors=True)
    (folder / "reports").mkdir(parents=True)
    content = yaml.safe_dump(params.model_dump(mode="json"), sort_keys=False)
    (folder / "params.yaml").write_text(content, encoding="utf-8")
    template = Path("reports/template.ipynb")
    shutil.copyfile(REPOSITORY / template, folder / template)


def _run(folder: Path, stage: str, *arguments: str) -> float:
    """Run ``python -m stages.<stage>`` in `folder`; the seconds that its process took.

    Raises
    ------
    PipelineError
        If it fails; it has said why on stderr.
    """
    path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path, "SENN_CELL_STORE": str(folder / "store")}
    command = [sys.executable, "-m", f"stages.{stage}", *arguments]
    begun = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, stdout=sys.stderr)
    seconds = time.perf_counter() - begun
    if done.returncode:
        raise PipelineError(f"{' '.join(command[1:])} failed in {folder}")
    return significant(seconds)


def _run_stages(folder: Path, params: Params) -> dict[str, Any]:
    for dataset in params.datasets:
        _run(folder, "download", dataset)
        _run(folder, "prepare", dataset)
    pretrain = _run(folder, "pretrain")
    experiments: dict[str, dict[str, Any]] = {}
    for name in params.experiments:
        cells, seconds = len(grid(params, name)), _run(folder, "train", name)
        experiments[name] = {
            "cells": cells,
            "train_seconds": seconds,
            "cells_per_second": significant(cells / seconds),
            "evaluate_seconds": _run(folder, "evaluate", name),
            "explain_seconds": _run(folder, "explain", name),
        }
    return {
        "cells": sum(experiment["cells"] for experiment in experiments.values()),
        "pretrain_seconds": pretrain,
        "train_seconds": _total(experiments, "train_seconds"),
        "evaluate_seconds": _total(experiments, "evaluate_seconds"),
        "explain_seconds": _total(experiments, "explain_seconds"),
        "study_seconds": {name: _run(folder, "study", name) for name in params.study},
        "report_seconds": _run(folder, "report"),
        "experiments": experiments,
    }


def _textbook(
    folder: Path, params: Params, timings: dict[str, Any], device: torch.device, steps: int
) -> dict[str, Any]:
    """How long the textbook would take for the same cells, extrapolated from at least `steps` each.

    Without the start of processes, and without validations that are not due in so few steps.
    """
    experiments = {}
    for name, experiment in params.experiments.items():
        tensors, metadata = read_tensors(folder / "data/prepared" / experiment.dataset / FILE_NAME)
        examples, short = len(tensors["train_y"]), folder / "textbook" / name
        kept = _EPOCH_STEPS * experiment.batch_size
        few = {key: value[:kept] for key, value in tensors.items() if key.startswith("train_")}
        write_tensors(short / FILE_NAME, tensors | few, metadata)
        speed = textbook_speed(Problem(params, name, short), device, seconds=0, steps=steps)
        per_cell = examples // experiment.batch_size * experiment.epochs
        all_steps = per_cell * timings["experiments"][name]["cells"]
        experiments[name] = {
            "ms_per_step": significant(speed.ms),
            "steps_measured": speed.steps,
            "steps": all_steps,
            "train_seconds": significant(speed.ms / 1000 * all_steps),
        }
    total = _total(experiments, "train_seconds")
    faster = significant(total / timings["train_seconds"])
    return {"train_seconds": total, "faster": faster, "experiments": experiments}


def _total(experiments: dict[str, dict[str, Any]], key: str) -> float:
    return significant(sum(experiment[key] for experiment in experiments.values()))


def _publish(reports: Path, output: Path) -> None:
    """Replace `output` by a copy of `reports`, without the template."""
    part = output.with_name(f".{output.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(reports, part, ignore=shutil.ignore_patterns("template.ipynb"))
    shutil.rmtree(output, ignore_errors=True)
    part.rename(output)


def _summary(timings: dict[str, Any], output: Path) -> str:
    """Times per experiment, and the test accuracy of every cell: λ × seeds."""
    rows = {name: {"experiment": name, **row} for name, row in timings["experiments"].items()}
    rows["all"] = {"experiment": "all", **{key: timings.get(key) for key in _TIMES}}
    if book := timings.get("textbook"):
        for name, row in {**book["experiments"], "all": book}.items():
            seconds = row["train_seconds"]
            rows[name]["textbook_seconds"] = seconds
            rows[name]["faster"] = significant(seconds / rows[name]["train_seconds"])
    parts = [f"{timings['preset']} on {in_words(timings['machine'])}."]
    parts.append(text(pd.DataFrame(list(rows.values()), dtype=object)))
    for name in timings["experiments"]:
        cells = pd.read_csv(output / "cells" / f"{name}.csv")
        table = cells.pivot(index="robust_reg", columns="seed", values="accuracy")
        parts.append(f"{name}: accuracy by λ and seed\n{table.round(4).to_string()}")
    return "\n\n".join(parts)


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
    words = "also time at least so many steps of the textbook, of each experiment"
    parser.add_argument("--textbook", type=int, metavar="STEPS", default=0, help=words)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    run_stage(main)
