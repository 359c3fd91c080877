"""A folder in which stages can run as `dvc repro` would run them, without DVC."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import yaml

from benchmarks.problems import REPOSITORY
from pipeline.core.errors import PipelineError
from pipeline.core.params import Params


class Workspace:
    """`folder` with its params.yaml; of earlier runs nothing remains there but data.

    The cell store is its own, and empty.
    """

    def __init__(self, folder: Path, params: Params) -> None:
        self.folder = folder.absolute()
        for made in ("models", "reports", "store"):
            shutil.rmtree(self.folder / made, ignore_errors=True)
        (self.folder / "reports").mkdir(parents=True)
        content = yaml.safe_dump(params.model_dump(mode="json"), sort_keys=False)
        (self.folder / "params.yaml").write_text(content, encoding="utf-8")
        template = Path("reports/template.ipynb")
        shutil.copyfile(REPOSITORY / template, self.folder / template)

    def run(self, stage: str, *arguments: str) -> float:
        """Run ``python -m stages.<stage>``; the seconds it took, from start to end of its process.

        What it prints goes to stderr.

        Raises
        ------
        PipelineError
            If it fails; it has said why.
        """
        path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
        environment = os.environ | {
            "PYTHONPATH": path,
            "SENN_CELL_STORE": str(self.folder / "store"),
        }
        command = [sys.executable, "-m", f"stages.{stage}", *arguments]
        begun = time.perf_counter()
        done = subprocess.run(command, cwd=self.folder, env=environment, stdout=sys.stderr)
        seconds = time.perf_counter() - begun
        if done.returncode:
            raise PipelineError(f"{' '.join(command[1:])} failed in {self.folder}")
        return seconds
