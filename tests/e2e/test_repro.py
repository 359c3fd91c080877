"""`dvc repro`: everything once, nothing twice, the same bytes again."""

import json

import pandas as pd
import pytest

from pipeline.core import portable
from tests.e2e.conftest import stages_run
from tests.e2e.digests import COMMITTED, digests

pytestmark = pytest.mark.e2e

EXPERIMENTS = ["compas_senn", "mnist_disenn", "mnist_senn"]
DATASETS = ["compas", "mnist_5k", "reuters_r8", "uci"]
ENTRIES = [*EXPERIMENTS, "reuters_senn", "uci"]
ALL = [
    *(f"{stage}@{name}" for stage in ("download", "prepare") for name in DATASETS),
    "pretrain",
    *(f"{stage}@{name}" for stage in ("train", "evaluate", "headline") for name in ENTRIES),
    "grid",
    "explain",
    "rivals",
    "share",
    "tokenizer",
    "study@compas_senn",
    "study@mnist_senn",
    "report",
]
HEADLINE = ["accuracy", "ci95", "lipschitz_local", "faithfulness", "robustness_loss"]
UP_TO_DATE = "Data and pipelines are up to date."


def test_first_run_makes_everything(first_run):
    project, printed = first_run
    assert sorted(stages_run(printed)) == sorted(ALL)
    assert set(project.locked()) == set(ALL)
    for path in project.outs():
        assert (project.folder / path).exists(), path
    for name in EXPERIMENTS:
        cells = [f"lambda={reg}/seed={seed}" for reg in ("0.0001", "0.01") for seed in (111, 333)]
        written = (project.folder / "models" / name).rglob("*.safetensors")
        names = {str(path.relative_to(project.folder / "models" / name)) for path in written}
        assert names == {f"{cell}.safetensors" for cell in cells}
        metrics = json.loads((project.folder / f"reports/metrics/{name}/{name}.json").read_text())
        lambdas = pd.read_csv(project.folder / f"reports/lambda/{name}.csv")
        assert lambdas["robust_reg"].tolist() == [0.0001, 0.01]
        assert lambdas["seeds"].tolist() == [2, 2]
        assert list(metrics) == HEADLINE
        assert metrics["accuracy"] == pytest.approx(lambdas["accuracy"][0])
    page = (project.folder / "reports/report.html").read_text()
    assert page.count('src="data:image/png;base64,') == len(
        list((project.folder / "reports/figures").glob("*.png"))
    )
    assert "Traceback" not in page


def test_results_for_people_are_in_git_and_the_rest_is_not(first_run):
    project, _ = first_run
    tracked = set(project.run("git", "ls-files").split())
    for path in project.outs():
        in_git = path in tracked or any(name.startswith(f"{path}/") for name in tracked)
        assert in_git == path.startswith("reports/"), path
    assert "dvc.lock" in tracked
    assert project.run("git", "status", "--porcelain").strip() == ""


def test_second_run_does_nothing(project):
    assert UP_TO_DATE in project.run("dvc", "status")
    printed = project.run("dvc", "repro")
    assert stages_run(printed) == []
    assert UP_TO_DATE in printed
    assert project.run("git", "status", "--porcelain").strip() == ""


def test_where_it_runs_makes_nothing_out_of_date(project):
    project.edit_params(lambda params: params.update(device="auto", compute={"engine": "ray"}))
    assert UP_TO_DATE in project.run("dvc", "status")


def test_forced_on_more_cores_each_stage_gives_the_same_bytes(project, tmp_path):
    before = project.locked()
    once = list({name.partition("@")[0]: name for name in reversed(ALL)}.values())
    without_store = project.on_all_cores().forking(tmp_path / "bin").having(SENN_CELL_STORE="off")
    printed = without_store.run("dvc", "repro", "--force", "--single-item", *once)
    assert sorted(stages_run(printed)) == sorted(once)
    assert project.locked() == before


@pytest.mark.skipif(not portable.IN_FORCE, reason="other processors have other last bits")
def test_numbers_are_the_committed_ones_on_every_processor(first_run):
    project, _ = first_run
    expected = json.loads(COMMITTED.read_text(encoding="utf-8"))["digests"]
    assert digests(project.folder) == expected
