"""`dvc exp`, `dvc metrics`, `dvc params` and `dvc plots`: change something and compare."""

import json
import time

import pytest

from pipeline.claims.published import CLAIMS
from tests.e2e.conftest import Project, stages_run

AXES = (
    "λ (robust_reg)",
    "step",
    "epoch",
    "local Lipschitz ratio (lower is more stable)",
    "share of groups, noise level, or layers shuffled",
    "value, with its 95 % interval",
    "half the box's width, or radius of the ball",
)
pytestmark = pytest.mark.e2e

EXPERIMENTS = ["compas_senn", "mnist_disenn", "mnist_senn"]
ENTRIES = [*EXPERIMENTS, "reuters_senn", "uci"]
UNBOUNDED = ["reuters_senn", "uci"]  # what `certify` leaves out
TABLES = ["uci_breast_cancer", "uci_wine"]
STUDIED = ["compas_senn", "mnist_senn"]
STAGE = "prepare@compas"


def shown(project: Project) -> dict[str, dict]:
    """Name to params and metrics of every experiment of `dvc exp show`, and of the workspace."""
    revisions = json.loads(project.run("dvc", "exp", "show", "--json"))
    data = {revision["rev"]: revision["data"] for revision in revisions}
    for revision in revisions:
        for experiment in revision["experiments"] or ():
            (state,) = experiment["revs"]
            data[experiment["name"]] = state["data"]
    return data


def cells_of(project: Project) -> dict[str, bytes]:
    """Path and content of every trained cell; the pretrained β-VAEs are none."""
    paths = project.folder.glob("models/**/lambda=*/*.safetensors")
    return {str(path.relative_to(project.folder)): path.read_bytes() for path in paths}


def test_another_lambda(project, tmp_path):
    """All that depends on the headline λ or on the list of models runs again, in the workspace.

    Not the study, which has a grid of its own. Stage `rivals` does, because there are more models
    than before, but finds all it needs in the cell store.
    """
    project = project.forking(tmp_path / "bin")
    before, weights = project.outs(), cells_of(project)
    changes = ("-S", "robust_reg=0.1", "-S", "report.explanations=1")
    printed = project.run("dvc", "exp", "run", "--name", "stronger", *changes)
    rerun = [f"{s}@{name}" for s in ("train", "evaluate", "headline") for name in ENTRIES]
    rerun += ["grid", "explain", "share", "report", "rivals"]
    assert sorted(stages_run(printed)) == sorted(rerun)
    for name in (*EXPERIMENTS, "reuters_senn", "uci_wine"):  # those with the old λ
        assert f"{name}: 4 of 6 cells reused from the cell store" in printed
    assert "uci_breast_cancer: 8 of 10 cells reused from the cell store" in printed
    assert "up to date" in project.run("dvc", "status")
    params = shown(project)["stronger"]["params"]["params.yaml"]["data"]
    assert (params["robust_reg"], params["report"]["explanations"]) == (0.1, 1)
    assert len(list((project.folder / "reports/figures").glob("explanation_compas*"))) == 1
    after = project.outs()
    assert set(after) == set(before)
    made = ("reports/", "data/grid", *(f"models/{name}" for name in ENTRIES))
    of_rerun = {path for path in after if path.startswith(made)}
    folders = ("study", "roundings")
    study = {f"reports/{folder}/{name}.csv" for folder in folders for name in STUDIED}
    others = {"reports/rivals", "reports/text/tokenizer.csv", "reports/curves/vae.csv"}
    upstream = set(after) - of_rerun | study | others
    assert len(upstream) == 16
    unchanged = {path for path in after if after[path] == before[path]}
    assert unchanged == upstream | {"reports/claims.json"}  # the same verdicts, by other numbers

    # Cells of the old λ did not care that there is another.
    now = cells_of(project)
    assert {path: now[path] for path in weights} == weights
    models = (*EXPERIMENTS, "reuters_senn", *(f"uci/{name}" for name in TABLES))
    added = {f"models/{n}/lambda=0.1/seed={s}.safetensors" for n in models for s in (111, 333)}
    assert set(now) - set(weights) == added
    _check_comparisons(project)


def test_another_headline_of_the_grid_neither_trains_nor_evaluates(project):
    project.edit_params(lambda params: params.update(robust_reg=0.01))
    project.run("dvc", "repro", "grid")
    out_of_date = json.loads(project.run("dvc", "status", "--json"))
    for name in ENTRIES:
        assert f"evaluate@{name}" not in out_of_date
        assert f"headline@{name}" in out_of_date


def _check_comparisons(project: Project) -> None:
    """What DVC says of the workspace, where λ is 0.1, against HEAD, where it was 0.0001."""
    params = json.loads(project.run("dvc", "params", "diff", "--json"))
    explanations = params["params.yaml"].pop("report.explanations")
    assert (explanations["old"], explanations["new"]) == (2, 1)
    assert params == {"params.yaml": {"robust_reg": {"old": 0.0001, "new": 0.1, "diff": 0.0999}}}
    metrics = json.loads(project.run("dvc", "metrics", "diff", "--json"))
    alone = [name for name in ENTRIES if name != "uci"]
    files = (*(f"{name}/{name}" for name in alone), *(f"uci/{name}" for name in TABLES))
    assert set(metrics) == {f"reports/metrics/{name}.json" for name in files}
    for of_experiment in metrics.values():
        assert of_experiment["robustness_loss"]["diff"] != 0
    claims = ("--all", "--targets", "reports/claims.json")
    verdicts = json.loads(project.run("dvc", "metrics", "diff", *claims, "--json"))
    assert len(verdicts["reports/claims.json"]) == len(CLAIMS)
    assert verdicts["reports/claims.json"]["compas-tradeoff"]["new"] == "not tested"
    plots = json.loads(project.run("dvc", "plots", "diff", "HEAD", "--json"))
    assert "errors" not in plots
    (accuracy,) = plots["data"]["reports/lambda/compas_senn.csv"]
    rows = accuracy["content"]["data"]["values"]
    lambdas = {(row["rev"], row["robust_reg"]) for row in rows}
    assert lambdas == {
        *(("HEAD", reg) for reg in ("0.0001", "0.01")),
        *(("workspace", reg) for reg in ("0.0001", "0.01", "0.1")),
    }


def test_plots_of_a_run(project):
    plots = json.loads(project.run("dvc", "plots", "show", "--json"))
    assert "errors" not in plots
    for name in UNBOUNDED:
        assert plots["data"].pop(f"reports/worst_case/{name}.csv") == []  # no bounds, and no row
    expected = {
        f"reports/{folder}/{name}.csv"
        for folder in ("lambda", "cells", "curves", "methods", "methods_curves", "worst_case")
        for name in EXPERIMENTS
    }
    expected |= {f"reports/study/{name}.csv" for name in STUDIED}
    of_all = ("lambda", "cells", "curves")
    expected |= {f"reports/{folder}/{name}.csv" for folder in of_all for name in UNBOUNDED}
    expected |= {f"reports/rivals/{name}.csv" for name in ("compas_senn", "mnist_senn")}
    expected |= {f"reports/{folder}/reuters_senn.csv" for folder in ("methods", "methods_curves")}
    assert set(plots["data"]) == expected | {"reports/curves/vae.csv"}
    for of_file in plots["data"].values():
        (plot,) = of_file
        assert plot["revisions"] == ["workspace"]
        assert "<DVC_METRIC" not in json.dumps(plot["content"])
        assert plot["content"]["title"]["text"]
        along_x = plot["content"].get("spec", plot["content"])["encoding"]["x"]
        assert along_x["title"] in AXES
        is_log = along_x.get("scale", {}).get("type") == "log"
        assert is_log == along_x["title"].startswith(("λ", "half the box"))


def test_queued_runs(project):
    """Side by side in copies of the workspace, which they leave alone; then one is applied.

    Of one stage, the quickest: what others make of another split is no matter of the queue.
    """
    before = project.outs()
    for seed in (1, 2):
        change = ("--name", f"split-{seed}", "-S", f"split_seed={seed}")
        project.run("dvc", "exp", "run", "--queue", *change, STAGE)
    project.run("dvc", "queue", "start", "--jobs", "2")
    try:
        deadline = time.monotonic() + 300
        while "Running" in (status := project.run("dvc", "queue", "status")) or "Queued" in status:
            assert time.monotonic() < deadline, status
            time.sleep(5)  # asking takes a second of a core
    finally:
        project.run("dvc", "queue", "stop", "--kill")
    assert project.outs() == before
    assert project.run("git", "status", "--porcelain").strip() == ""
    experiments = shown(project)
    for seed in (1, 2):
        params = experiments[f"split-{seed}"]["params"]["params.yaml"]["data"]
        assert params["split_seed"] == seed

    prepared = project.folder / "data/prepared/compas/data.safetensors"
    of_seed_0 = prepared.read_bytes()
    project.run("dvc", "exp", "apply", "split-1")
    assert "up to date" in project.run("dvc", "status", STAGE)
    assert prepared.read_bytes() != of_seed_0
    changed = {path for path, digest in project.outs().items() if digest != before[path]}
    assert changed == {"data/prepared/compas"}
