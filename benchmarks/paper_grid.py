"""Run the stages of a whole preset, and say how long they took.

``python -m benchmarks.paper_grid`` runs the pipeline's stages on presets/paper.yaml, in the order
of dvc.yaml but without DVC, in a working folder of its own with an empty cell store. `grid` is left
out: it writes lists that only DVC reads. reports/paper gets what `dvc repro` would write to
reports/, and ``timings.json``. Stages are timed from the start of their process to its end.

A run may be divided, among machines too: ``--stages pretrain train`` runs these alone, and
``--go-on`` begins where the working folder's ``timings.json`` says the last run ended.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from benchmarks.measure import PAPER, REPOSITORY, changed
from benchmarks.report import in_words, machine, parser, significant, text
from pipeline.core.cells import grid
from pipeline.core.device import choose_device
from pipeline.core.errors import PipelineError
from pipeline.core.files import write_json
from pipeline.core.params import Params, load_params
from pipeline.core.stage import run_stage

STAGES = ("pretrain", "train", "evaluate", "headline", "explain", "rivals", "share", "study",
          "tokenizer", "report")  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Run everything, write the results, print them."""
    options = _options(arguments)
    device, folder = choose_device(options.device), options.work.absolute()
    params = changed(load_params(options.params), {"device": str(device)})
    file = folder / "reports/timings.json"
    timings: dict[str, Any] = {"preset": options.params.name, "stages": []}
    if options.go_on and file.exists():
        timings = json.loads(file.read_text(encoding="utf-8"))
    _begin(folder, params, options.go_on)
    for dataset in params.datasets:
        _run(folder, "download", dataset)
        _run(folder, "prepare", dataset)
    done = {row["stage"] for row in timings["stages"]}
    for stage, cells in _stages(params).items():
        if stage in done or stage.split()[0] not in options.stages:
            continue
        seconds = _run(folder, *stage.split())
        row = {"stage": stage, "cells": cells, "seconds": seconds}
        timings["stages"].append(row | {"machine": in_words(machine(device))})
        write_json(file, timings)
    if set(_stages(params)) <= {row["stage"] for row in timings["stages"]}:
        _publish(folder / "reports", options.output)
        print(f"Published to {options.output}.")
    print(_summary(folder, timings))


def _stages(params: Params) -> dict[str, int | None]:
    """What `dvc repro` runs after the data are prepared, in order, and the number of its cells."""
    cells = {
        entry: sum(len(grid(params, name)) for name in names)
        for entry, names in params.entries.items()
    }
    stages: dict[str, int | None] = {"pretrain": None}
    for stage in ("train", "evaluate", "headline"):
        stages |= {f"{stage} {entry}": count for entry, count in cells.items()}
    stages |= dict.fromkeys(("explain", "rivals", "share"))
    stages |= {f"study {name}": None for name in params.study}
    return stages | dict.fromkeys(("tokenizer", "report"))


def _begin(folder: Path, params: Params, go_on: bool) -> None:
    """Make `folder` a working folder with these `params`.

    Of an earlier run only data remain, or everything to go on with.
    """
    for made in () if go_on else ("models", "reports", "store"):
        shutil.rmtree(folder / made, ignore_errors=True)
    (folder / "reports").mkdir(parents=True, exist_ok=True)
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


def _publish(reports: Path, output: Path) -> None:
    """Replace `output`, a folder in reports/, by a copy of `reports` without the template.

    Links to files outside of reports/ are a folder longer there, and so are the names of models.
    """
    part = output.with_name(f".{output.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(reports, part, ignore=shutil.ignore_patterns("template.ipynb"))
    _replace(part / "report.html", {'href="../': 'href="../../'})
    _replace(part / "report.ipynb", {"](../": "](../../"})
    longer = {"](../../../": "](../../../../"}
    longer |= {named: f"{named}{output.name}/" for named in ("-m pipeline.explain ", 'load("')}
    for card in part.glob("models/*/*.md"):
        _replace(card, longer)
    shutil.rmtree(output, ignore_errors=True)
    part.rename(output)


def _replace(file: Path, texts: dict[str, str]) -> None:
    content = file.read_text(encoding="utf-8")
    for old, new in texts.items():
        content = content.replace(old, new)
    file.write_text(content, encoding="utf-8")


def _summary(folder: Path, timings: dict[str, Any]) -> str:
    """Times by stage, and the test accuracy of every cell that is evaluated: λ × seeds."""
    parts = [f"{timings['preset']}:", text(pd.DataFrame(timings["stages"], dtype=object))]
    for file in sorted((folder / "reports/cells").glob("*.csv")):
        table = pd.read_csv(file).pivot(index="robust_reg", columns="seed", values="accuracy")
        parts.append(f"{file.stem}: accuracy by λ and seed\n{table.round(4).to_string()}")
    return "\n\n".join(parts)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    options = parser("benchmarks.paper_grid", __doc__)
    options.add_argument("--params", type=Path, default=PAPER)
    options.add_argument("--work", type=Path, default=REPOSITORY / "benchmarks/work/paper")
    options.add_argument("--output", type=Path, default=REPOSITORY / "reports/paper")
    options.add_argument("--stages", nargs="+", choices=STAGES, default=STAGES)
    options.add_argument("--go-on", action="store_true", help="keep what the working folder has")
    return options.parse_args(arguments)


if __name__ == "__main__":
    run_stage(main)
