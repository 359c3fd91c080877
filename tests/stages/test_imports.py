"""What a stage imports before it works: a stage that finds all in the store ends with that."""

import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY

STAGES = sorted(path.stem for path in (REPOSITORY / "stages").glob("[a-z]*.py"))
WITHOUT_TORCH = ("grid", "headline")
# Each takes a third of a second to a second, and is imported by what needs it, when it does.
SLOW = {"captum", "matplotlib", "numba", "ray", "scipy", "sklearn", "sympy", "torch._dynamo"}
# One process imports torch, and forks for each stage that needs it.
CODE = """
import builtins, importlib, os, sys

def tell(stages):
    before, imports, imported = set(sys.modules), builtins.__import__, set()

    def noted(name, *more, **options):
        imported.add(name)
        return imports(name, *more, **options)

    for stage in stages:
        if os.fork() == 0:
            builtins.__import__ = noted
            importlib.import_module(f"stages.{stage}")
            print(stage, *imported, *(set(sys.modules) - before), flush=True)
            os._exit(0)
        assert os.wait()[1] == 0, stage

without, others = map(str.split, sys.argv[1:])
tell(without)
import pipeline, torch
tell(others)
"""


@pytest.fixture(scope="module")
def imported() -> dict[str, set[str]]:
    """What each stage imports."""
    others = [stage for stage in STAGES if stage not in WITHOUT_TORCH]
    command = [sys.executable, "-c", CODE, " ".join(WITHOUT_TORCH), " ".join(others)]
    run = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return {stage: set(modules) for stage, *modules in map(str.split, run.stdout.splitlines())}


@pytest.mark.parametrize("stage", STAGES)
def test_nothing_slow_is_imported_before_it_is_needed(imported, stage):
    modules = imported[stage]
    assert f"stages.{stage}" in modules
    assert not modules & SLOW
    assert ("torch" in modules) == (stage not in WITHOUT_TORCH)
    # Tables are written by all but two; a dataset's module is imported when it is asked for.
    assert ("pandas" in modules) == (stage not in ("download", "prepare"))
