"""What a stage imports before it works: a stage that finds all in the store ends with that."""

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
STAGES = sorted(path.stem for path in (REPOSITORY / "stages").glob("[a-z]*.py"))
# Each takes a third of a second to a second, and is imported by what needs it, when it does.
SLOW = {"captum", "matplotlib", "numba", "ray", "scipy", "sklearn", "sympy", "torch._dynamo"}


@pytest.mark.parametrize("stage", STAGES)
def test_nothing_slow_is_imported_before_it_is_needed(stage):
    code = f"import sys, stages.{stage}; print(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    modules = set(run.stdout.split())
    assert f"stages.{stage}" in modules
    assert not modules & SLOW
    assert ("torch" in modules) == (stage not in ("grid", "headline"))
    # Tables are written by all but two; a dataset's module is imported when it is asked for.
    assert ("pandas" in modules) == (stage not in ("download", "prepare"))
