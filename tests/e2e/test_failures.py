"""Broken params and broken data: one clear message, exit code 1, nothing left behind."""

import shutil
import subprocess
from dataclasses import replace

import pytest

from tests.e2e.conftest import Project
from tests.processes import run_stage

pytestmark = pytest.mark.e2e

COMPAS = "compas-scores-two-years.csv"


def files(project: Project) -> set[str]:
    everything = project.run("git", "ls-files", "--others", "--exclude-standard", "--cached")
    made = (path for top in ("data", "models") for path in (project.folder / top).rglob("*"))
    return {*everything.split(), *map(str, made)}


@pytest.mark.parametrize(
    "stage",
    [
        ("download", "compas"),
        ("prepare", "compas"),
        ("pretrain",),
        ("train", "compas_senn"),
        ("evaluate", "compas_senn"),
        ("headline", "compas_senn"),
        ("grid",),
        ("explain",),
        ("rivals",),
        ("tokenizer",),
        ("study", "compas_senn"),
        ("report",),
    ],
    ids=lambda stage: stage[0],
)
def test_broken_params_stop_every_stage(first_run, tmp_path, stage):
    shutil.copy(first_run[0].folder / "params.yaml", tmp_path)
    project = replace(first_run[0], folder=tmp_path)
    project.edit_params(lambda params: params.update(robust_reg=-1))
    done = run_stage(tmp_path, *stage)
    assert done.returncode == 1
    expected = ("", "error: params.yaml: robust_reg: must be ≥ 0, got -1\n")
    assert (done.stdout, done.stderr) == expected
    assert {path.name for path in tmp_path.iterdir()} == {"params.yaml"}


def test_broken_params_stop_repro(project):
    before = project.locked()
    printed = project.run("dvc", "exp", "run", "-S", "robust_reg=-1", fails=True)
    assert "params.yaml: robust_reg: must be ≥ 0, got -1" in printed
    assert "Traceback" not in printed
    assert project.locked() == before


def test_corrupted_mirror_and_no_other_source(project, tmp_path):
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    whole = (project.folder / "data/raw/compas" / COMPAS).read_bytes()
    (mirror / COMPAS).write_bytes(whole[:-1000])
    shutil.rmtree(project.folder / "data/raw/compas")
    shutil.rmtree(project.folder / ".dvc/cache")
    having = project.having(SENN_DATA_MIRROR=str(mirror))
    printed = having.run("dvc", "repro", "download@compas", fails=True)
    assert f"{COMPAS} could not be fetched. Tried:" in printed
    assert f"mirror {mirror}: wrong content" in printed
    assert "set SENN_DATA_MIRROR to its absolute path" in printed
    assert "Traceback" not in printed
    assert not (project.folder / "data/raw/compas").exists()


def test_corrupted_raw_file_is_fetched_again(project):
    before = project.outs()
    path = project.folder / "data/raw/compas" / COMPAS
    path.write_bytes(path.read_bytes()[:-1000])
    assert "data/raw/compas" in project.run("dvc", "status")
    project.run("dvc", "repro", "prepare@compas")
    assert project.outs() == before
    assert "up to date" in project.run("dvc", "status")


def test_corrupted_raw_file_is_never_prepared(project):
    path = project.folder / "data/raw/compas" / COMPAS
    path.write_bytes(path.read_bytes()[:-1000])
    before = files(project)
    ended = project.start("python", "-m", "stages.prepare", "compas", stderr=subprocess.PIPE)
    _, err = ended.communicate()
    assert ended.returncode == 1
    assert err.startswith(f"error: data/raw/compas/{COMPAS}: wrong content (SHA-256 ")
    assert files(project) == before
