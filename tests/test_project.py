"""What outsiders start from: workflows, container file and citation name what is there."""

import re

import pytest
import yaml

from tests.conftest import REPOSITORY

WORKFLOWS = sorted((REPOSITORY / ".github/workflows").glob("*.yml"))
MAKEFILE = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
CONTAINERFILE = (REPOSITORY / "Containerfile").read_text(encoding="utf-8")
PYTHON = "3.11"  # the oldest that is supported, and the one that results were made with


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_run_what_is_there(path):
    (job,) = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values()
    steps = job["steps"]
    commands = "\n".join(step.get("run", "") for step in steps)
    targets = re.findall(r"^ *make (\w+)", commands, re.MULTILINE)
    assert targets
    for target in targets:
        assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE), target
    for preset in re.findall(r"presets/[\w.]+", commands):
        assert (REPOSITORY / preset).is_file()
    versions = [s["with"]["python-version"] for s in steps if "setup-python" in s.get("uses", "")]
    assert versions == [PYTHON]


def test_the_container_installs_the_lock():
    assert f"python:{PYTHON}-slim" in CONTAINERFILE
    copied = re.findall(r"^COPY (.+) \./?$", CONTAINERFILE, re.MULTILINE)
    assert copied
    for source in " ".join(copied).split():
        assert (REPOSITORY / source).exists(), source
    assert "--requirement requirements-lock.txt" in CONTAINERFILE


def test_the_citation_names_project_paper_and_review():
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text(encoding="utf-8"))
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert citation["title"] == readme.splitlines()[0].removeprefix("# ")
    assert citation["license"] == "MIT"
    assert (REPOSITORY / "LICENSE").read_text().startswith("MIT License")
    paper, review = citation["references"]
    assert paper["url"] in readme
    assert review["repository-code"] in readme
