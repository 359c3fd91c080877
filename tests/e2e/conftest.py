"""One run of the smoke preset by real `dvc` in a temporary clone, and copies of it to play with."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.processes import ALL_CORES, ONE_CORE, fork_stages, run_dvc
from tests.training import few_steps
from verification.workspace import copy_files

REPOSITORY = Path(__file__).resolve().parents[2]
RUNNING = "Running stage '"
KERNELS = "pipeline/training/__pycache__"
FULL_RUN = "reports/paper"
OF_FULL_RUN = ("claims.csv", "study/mnist_senn.csv")  # what dvc.yaml depends on


@dataclass(frozen=True)
class Project:
    """A clone of this repository, the environment to run commands in it, and the cores they use.

    On one core no stage starts workers only to wait for them: other tests run beside.
    """

    folder: Path
    environment: dict[str, str]
    cores: frozenset[int]

    def run(self, *command: str, fails: bool = False) -> str:
        """Run a command that must succeed, or must fail; what it printed, stderr last."""
        program, *arguments = command
        if program == "dvc":
            done = run_dvc(self.folder, arguments, self.environment, self.cores)
        else:
            started = self.start(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            said = started.communicate()
            done = subprocess.CompletedProcess(command, started.returncode, *said)
        printed = f"{done.stdout}\n{done.stderr}"
        assert (done.returncode != 0) == fails, f"{command}: {done.returncode}\n{printed}"
        return printed

    def having(self, **variables: str) -> "Project":
        """The same with other environment variables."""
        return replace(self, environment=self.environment | variables)

    def on_all_cores(self) -> "Project":
        """The same on all cores there are, where the stages work in several processes."""
        return replace(self, cores=ALL_CORES)

    def forking(self, folder: Path) -> "Project":
        """The same with a ``python`` in `folder` that has imported what stages import."""
        folder.mkdir()
        fork_stages(folder)
        return self.having(PATH=os.pathsep.join([str(folder), self.environment["PATH"]]))

    def start(self, *command: str, **options: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment,
            text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, self.cores),
            **options,
        )

    def commit(self) -> None:
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", "run")

    def edit_params(self, change: Callable[[Any], None]) -> None:
        yaml = YAML()
        path = self.folder / "params.yaml"
        params = yaml.load(path)
        change(params)
        yaml.dump(params, path)

    def locked(self) -> dict[str, Any]:
        """The stages of dvc.lock."""
        lock = YAML(typ="safe", pure=True).load(self.folder / "dvc.lock")
        return lock["stages"]

    def outs(self) -> dict[str, str]:
        """Path and MD5 of every out in dvc.lock."""
        stages = self.locked().values()
        return {out["path"]: out["md5"] for stage in stages for out in stage["outs"]}


def stages_run(printed: str) -> list[str]:
    """Names of the stages that a `dvc` command said it was running, in order."""
    lines = (line for line in printed.splitlines() if line.startswith(RUNNING))
    return [line.removeprefix(RUNNING).split("'")[0] for line in lines]


@pytest.fixture(scope="session")
def first_run(tmp_path_factory, raw_data) -> tuple[Project, str]:
    """A clone after `cp presets/smoke.yaml params.yaml && dvc repro` and a commit; what it printed.

    Its stages are forked: to import torch for each takes longer than all they do. Not to be
    changed: see `project`.
    """
    if "PYTEST_XDIST_WORKER" in os.environ:  # fails in a second worker: see tests.distribution
        (tmp_path_factory.getbasetemp().parent / "first run").mkdir()
    root = tmp_path_factory.mktemp("e2e")
    mirror = root / "mirror"
    for name in ("compas", "mnist_5k", "uci", "reuters_r8"):
        shutil.copytree(raw_data(name), mirror, dirs_exist_ok=True)
    project = Project(root / "clone", environment(root, mirror), ONE_CORE)
    few_steps.digest("compas_senn")  # compiles the kernel here, for the clone and all other tests
    clone(project)
    printed = project.forking(root / "bin").run("dvc", "repro")
    project.commit()
    return project, printed


@pytest.fixture
def project(first_run, tmp_path) -> Project:
    """A copy of the clone after its first run."""
    first, _ = first_run
    shutil.copytree(first.folder, tmp_path / "clone", symlinks=True)
    return replace(first, folder=tmp_path / "clone")


def clone(project: Project) -> None:
    """Copy what Git has or would have of this working tree into a repository with one commit.

    Of the full run's results, which are as large as all else, only what a stage reads.
    """
    copy_files(REPOSITORY, project.folder)
    shutil.rmtree(project.folder / FULL_RUN)
    for name in OF_FULL_RUN:
        (project.folder / FULL_RUN / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(REPOSITORY / FULL_RUN / name, project.folder / FULL_RUN / name)
    # What is compiled here is compiled: it has a digest of its source.
    for compiled in (REPOSITORY / KERNELS).glob("*.nb?"):
        (project.folder / KERNELS).mkdir(exist_ok=True)
        shutil.copy(compiled, project.folder / KERNELS)
    shutil.copy(REPOSITORY / "presets/smoke.yaml", project.folder / "params.yaml")
    project.run("git", "init", "--quiet")
    project.commit()


def environment(root: Path, mirror: Path) -> dict[str, str]:
    """Our interpreter, nobody's settings and caches, and neither the internet nor an index."""
    outside = {"PYTHONPATH", "PYTEST_ADDOPTS", "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"}
    outside |= {"SENN_CELL_STORE", "SENN_CELL_STORE_GB"}
    (root / "gitconfig").write_text("[user]\nname = Tester\nemail = tester@example.org\n")
    return {key: value for key, value in os.environ.items() if key not in outside} | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "SENN_DATA_MIRROR": str(mirror),
        "https_proxy": "http://127.0.0.1:1",
        "PIP_NO_INDEX": "1",
        "PIP_CONFIG_FILE": os.devnull,
        "GIT_CONFIG_GLOBAL": str(root / "gitconfig"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "DVC_SITE_CACHE_DIR": str(root / "dvc-site"),
        "DVC_GLOBAL_CONFIG_DIR": str(root / "dvc-global"),
        "DVC_SYSTEM_CONFIG_DIR": str(root / "dvc-system"),
        "DVC_NO_ANALYTICS": "1",
        "XDG_CACHE_HOME": str(root / "cache"),  # where the cell store is
    }
