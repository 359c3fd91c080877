"""docs/models.md and docs/dvc.md, followed to the letter between clones by real `dvc`."""

import filecmp
import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.conftest import REPOSITORY, Project, stages_run

pytestmark = pytest.mark.e2e

MODEL = "reports/models/compas_senn/compas_senn.safetensors"
UP_TO_DATE = "Data and pipelines are up to date."


def commands(page: str, heading: str) -> list[list[str]]:
    """The commands of the shell blocks under a heading of a page of docs/, comments left out."""
    text = (REPOSITORY / "docs" / page).read_text(encoding="utf-8")
    section = re.split(r"\n##+ ", text.split(f"# {heading}\n")[1])[0]
    lines = "".join(re.findall(r"^```sh\n(.*?)^```", section, re.DOTALL | re.MULTILINE))
    return [shlex.split(line, comments=True) for line in lines.splitlines()]


def follow(project: Project, steps: list[list[str]], **places: str) -> str:
    """Run `steps` with each place's name replaced by where it is; what they printed."""
    printed = ""
    for step in steps:
        words = [places.get(word.removeprefix("$"), word) for word in step]
        printed += project.run(*words)
    return printed


@pytest.fixture
def other(first_run, tmp_path) -> Project:
    """Another project, with DVC."""
    project = replace(first_run[0], folder=tmp_path / "other")
    project.folder.mkdir()
    project.run("git", "init", "--quiet")
    project.run("dvc", "init")
    project.commit()
    return project


def same(first: Path, second: Path) -> bool:
    return filecmp.cmp(first, second, shallow=False)


def test_models_come_to_another_project(project, other):
    here = str(project.folder)
    get, import_, latest, versioned = commands("models.md", "From another project")
    follow(other, [get], SENN=here)
    assert same(other.folder / Path(MODEL).name, project.folder / MODEL)

    follow(other, [import_], SENN=here)
    imported = other.folder / Path(import_[-1]).name
    assert same(imported, project.folder / import_[-1])
    other.commit()
    (project.folder / import_[-1]).write_bytes(b"a later model")
    project.commit()
    other.run("dvc", "update", f"{imported.name}.dvc")
    assert imported.read_bytes() == b"a later model"

    project.run("git", "tag", "-a", "compas-senn@v1.0.0", "-m", "COMPAS")
    first = (project.folder / MODEL).read_bytes()
    (project.folder / MODEL).write_bytes(b"a second version")
    project.commit()
    project.run("git", "tag", "-a", "compas-senn@v2.0.0", "-m", "COMPAS")
    (other.folder / Path(MODEL).name).unlink()
    follow(other, [latest, versioned], SENN=here)
    assert (other.folder / Path(MODEL).name).read_bytes() == b"a second version"
    assert (other.folder / versioned[-1]).read_bytes() == first


def test_the_api_reads_a_model_that_explains(project, other):
    script = (
        "import dvc.api\n"
        f"content = dvc.api.read({MODEL!r}, repo={str(project.folder)!r}, mode='rb')\n"
        "from pipeline.explain import load\n"
        "print(load(content).explain({'Number_of_Priors': 3}).prediction)"
    )
    apart = other.having(PYTHONPATH=str(project.folder))
    printed = apart.run("python", "-c", script)
    assert printed.split("\n")[0] in ("Low", "Medium or High")


def test_a_clone_explains_without_data_or_training(project, tmp_path):
    clone = replace(project, folder=tmp_path / "fresh")
    project.run("git", "clone", "--quiet", str(project.folder), str(clone.folder))
    for step in commands("models.md", "On the command line"):
        assert clone.run(*step)
    assert (clone.folder / "explanation.png").read_bytes().startswith(b"\x89PNG")
    assert clone.run("git", "status", "--porcelain").strip() == ""
    assert not (clone.folder / "models").exists()


def test_the_notebook_runs(project):
    script = (
        "from pathlib import Path\n"
        "from pipeline.reporting.notebook import execute\n"
        "for cell in execute(Path('docs/explain.ipynb'), {}, Path('docs')).cells:\n"
        "    print(*[list(output.get('data', [])) for output in cell.get('outputs', [])])"
    )
    assert project.run("python", "-c", script).count("image/png") == 6
    assert project.run("git", "status", "--porcelain").strip() == ""


def test_a_clone_that_pulls_has_nothing_to_run(project, tmp_path):
    storage = str(tmp_path / "storage")
    remote, push, pull = commands("dvc.md", "Share what was computed")
    follow(project, [remote], **{"/path/to/storage": storage})
    project.commit()
    follow(project, [push])
    clone = replace(project, folder=tmp_path / "fresh")
    project.run("git", "clone", "--quiet", str(project.folder), str(clone.folder))
    assert UP_TO_DATE not in clone.run("dvc", "status")
    follow(clone, [pull])
    assert UP_TO_DATE in clone.run("dvc", "status")
    printed = clone.run("dvc", "repro")
    assert stages_run(printed) == [] and UP_TO_DATE in printed
    assert clone.run("git", "status", "--porcelain").strip() == ""
    for path in clone.outs():
        assert (clone.folder / path).exists(), path
