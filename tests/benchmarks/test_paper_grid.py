import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from benchmarks import paper_grid
from benchmarks.paper_grid import main
from tests.processes import run_stage
from tests.stages.workspace import tiny
from tests.training.grids import SMOKE


def forked(command: list[str], cwd: Path, env: dict[str, str], stdout: Any) -> Any:
    """`subprocess.run` of a stage, in a process that has the libraries already."""
    python, option, module, *arguments = command
    assert (python, option, stdout) == (sys.executable, "-m", sys.stderr)
    return run_stage(cwd, module.removeprefix("stages."), *arguments, **env)


@pytest.fixture(scope="module")
def published(tmp_path_factory, raw_data):
    """What a run of the smoke preset, made smaller still, publishes; and what it prints."""
    folder = tmp_path_factory.mktemp("paper")
    mirror = folder / "mirror"
    mirror.mkdir()
    for name in ("compas", "reuters_r8"):
        for file in raw_data(name).iterdir():
            (mirror / file.name).symlink_to(file)
    # The quickest experiment: stages have tests with images elsewhere.
    params = tiny(SMOKE.model_dump(mode="json"), "compas_senn")
    params |= {"datasets": ["compas", "reuters_r8"]}
    params |= {"pretrain": params["pretrain"] | {"dataset": "compas"}}
    params["study"]["compas_senn"] |= {"variants": ["paper2018"]}
    params["experiments"]["compas_senn"]["batch_size"] = 100
    (folder / "tiny.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    output = folder / "reports" / "paper"
    output.mkdir(parents=True)
    (output / "stale.txt").write_text("of an earlier run")
    places = {"params": folder / "tiny.yaml", "work": folder / "work", "output": output}
    options = [text for key, path in places.items() for text in (f"--{key}", str(path))]
    cores = os.sched_getaffinity(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SENN_DATA_MIRROR", str(mirror))
        patch.setattr(subprocess, "run", forked)
        # One worker per stage, since workers are tested elsewhere; not on the core that e2e uses.
        os.sched_setaffinity(0, {max(cores)})
        try:
            main([*options, "--device", "cpu"])
        finally:
            os.sched_setaffinity(0, cores)
    return output


def test_everything_is_published_and_nothing_else(published):
    names = {path.name for path in published.iterdir()}
    folders = {"cells", "curves", "figures", "lambda", "methods", "methods_curves", "metrics"}
    folders |= {"models", "rivals", "roundings", "study", "text", "worst_case"}
    claims = {"claims.csv", "claims.json"}
    assert names == folders | claims | {"report.html", "report.ipynb", "timings.json"}
    assert not list(published.parent.glob(".*")), "a half-written copy was left behind"
    page = (published / "report.html").read_text("utf-8")
    assert "<title>Which results of self-explaining neural networks hold up?</title>" in page
    assert 'href="../../README.md"' in page


def test_every_cell_is_evaluated(published):
    cells = pd.read_csv(published / "cells/compas_senn.csv")
    evaluated = set(zip(cells["robust_reg"], cells["seed"], strict=True))
    assert evaluated == {(reg, seed) for reg in (0.0001, 0.01) for seed in (111, 333)}
    assert cells["accuracy"].between(0, 1).all()
    assert set(pd.read_csv(published / "lambda/compas_senn.csv")["seeds"]) == {2}


def test_every_stage_is_timed(published):
    timings = json.loads((published / "timings.json").read_text())
    assert timings["preset"] == "tiny.yaml"
    stages = {row["stage"]: row for row in timings["stages"]}
    of_experiment = [f"{stage} compas_senn" for stage in ("train", "evaluate", "headline")]
    assert list(stages) == ["pretrain", *of_experiment, "explain", "rivals", "share",
                            "study compas_senn", "tokenizer", "report"]  # fmt: skip
    assert stages["train compas_senn"]["cells"] == 4
    for row in stages.values():
        assert row["seconds"] > 0
        assert "cpu" in row["machine"]


def test_goes_on_where_the_last_run_ended(tmp_path, published, monkeypatch):
    """Nothing is left to run: no stage is, and all is published again."""
    work, output = published.parents[1] / "work", tmp_path / "paper"
    ran: list[str] = []
    monkeypatch.setattr(paper_grid, "_run", lambda folder, *stage: ran.append(stage[0]))
    places = {"params": published.parents[1] / "tiny.yaml", "work": work, "output": output}
    options = [text for key, path in places.items() for text in (f"--{key}", str(path))]
    main([*options, "--device", "cpu", "--go-on"])
    data = 2 * ["download", "prepare"]
    assert ran == data
    assert (output / "timings.json").read_bytes() == (published / "timings.json").read_bytes()
    main([*options, "--device", "cpu", "--stages", "pretrain"])
    assert ran[4:] == [*data, "pretrain"]
    assert not (work / "models").exists(), "nothing is left of the earlier run"
