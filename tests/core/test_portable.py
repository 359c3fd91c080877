"""One instruction set, whatever the processor has and the environment says."""

import ast
import json
import os
import subprocess
import sys

import pytest

from pipeline.core import portable
from tests.conftest import REPOSITORY
from tests.training.few_steps import COMMITTED

needs_avx2 = pytest.mark.skipif(
    not portable.is_able(), reason="not an x86-64 processor with AVX2 and FMA"
)
# What newer and older processors would choose, as far as the environment can set it.
ELSEWHERE = {
    "newer": {
        "ATEN_CPU_CAPABILITY": "avx512",
        "MKL_CBWR": "AVX512",
        "ONEDNN_MAX_CPU_ISA": "ALL",
        "OPENBLAS_CORETYPE": "SkylakeX",
        "OPENBLAS_NUM_THREADS": "2",
        "NUMBA_CPU_NAME": "znver4",
        "NUMBA_CPU_FEATURES": "+avx512f",
        "NPY_DISABLE_CPU_FEATURES": "",
    },
    "older": {
        "ATEN_CPU_CAPABILITY": "default",
        "MKL_CBWR": "SSE2",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "OPENBLAS_CORETYPE": "Nehalem",
        "NUMBA_CPU_NAME": "nehalem",
        "NUMBA_CPU_FEATURES": "",
        "NPY_DISABLE_CPU_FEATURES": "X86_V3",
    },
}
# From MKL, which computes them differently on different processors in every mode.
NOT_PORTABLE = {"sqrt", "tan", "atan", "arctan", "asin", "arcsin", "acos", "arccos", "corrcoef"}


def run(code: str, **environment: str) -> str:
    clean = {key: value for key, value in os.environ.items() if key not in portable.SETTINGS}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        env=clean | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_avx2
@pytest.mark.parametrize("elsewhere", ELSEWHERE)
def test_training_gives_the_committed_bytes_whatever_the_environment_says(elsewhere):
    code = "import runpy; runpy.run_module('tests.training.few_steps', run_name='__main__')"
    printed = run(code, **ELSEWHERE[elsewhere])
    assert json.loads(printed) == json.loads(COMMITTED.read_text())["digests"]


@needs_avx2
def test_every_library_does_as_it_is_told():
    code = """
import pipeline, json, numba.core.codegen, numpy, scipy.linalg, torch
from threadpoolctl import threadpool_info
numpy.ones((2, 2)) @ numpy.ones((2, 2))
blas = [library for library in threadpool_info() if library["internal_api"] == "openblas"]
print(json.dumps({
    "torch": torch.backends.cpu.get_cpu_capability(),
    "numpy": numpy.show_config("dicts")["SIMD Extensions"]["found"],
    "blas": sorted({library["architecture"] for library in blas}),
    "libraries": len(blas),
    "threads": sorted({library["num_threads"] for library in blas}),
    "numba": numba.config.CPU_NAME,
    "kind": pipeline.core.portable.kind(),
}))"""
    assert json.loads(run(code, **ELSEWHERE["newer"])) == {
        "torch": "AVX2",
        "numpy": ["X86_V3"],
        "blas": ["Haswell"],
        "libraries": 2,
        "threads": [1],
        "numba": "x86-64-v3",
        "kind": "avx2",
    }


@needs_avx2
def test_whoever_imports_numpy_first_is_told():
    code = "import numpy; from pipeline.core import portable as p; print(p.kind()); p.advise()"
    assert "not portable" in run(code)
    assert run(code, **portable.SETTINGS) == "avx2\n"


@pytest.mark.parametrize(
    ("machine", "flags", "able"),
    [
        ("x86_64", "fpu sse4_2 avx avx2 fma", True),
        ("x86_64", "fpu sse4_2 avx fma", False),
        ("x86_64", "fpu sse4_2 avx avx2", False),
        ("aarch64", "", False),
    ],
)
def test_what_a_processor_must_have(machine, flags, able, monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: machine)
    text = f"processor\t: 0\nflags\t\t: {flags}\n"
    monkeypatch.setattr("pathlib.Path.read_text", lambda *_, **__: text)
    portable.is_able.cache_clear()
    try:
        assert portable.is_able() == able
    finally:
        portable.is_able.cache_clear()


def test_other_processors_are_told_in_one_line(monkeypatch, capsys):
    monkeypatch.setattr(portable, "IN_FORCE", True)
    portable.advise()
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(portable, "IN_FORCE", False)
    monkeypatch.setattr(portable, "is_able", lambda: False)
    portable.advise()
    (line,) = capsys.readouterr().err.splitlines()
    assert "no x86-64 processor that is known to have AVX2" in line and "last bits" in line


def test_no_code_takes_functions_that_differ_between_processors():
    for path in (REPOSITORY / "pipeline").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in NOT_PORTABLE:
                library = node.value.id if isinstance(node.value, ast.Name) else None
                assert library in ("np", "math"), f"{path}:{node.lineno}: .{node.attr}"


def _is_optimiser(name: str) -> bool:
    return name == "adam" or (name.startswith("torch.optim.") and "lr_scheduler" not in name)


def test_optimisers_are_fused():
    """Others take square roots of tensors, as above; the fused one is a loop of torch's own."""
    calls = [
        (path, node)
        for path in sorted((REPOSITORY / "pipeline").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and _is_optimiser(ast.unparse(node.func))
    ]
    by_torch = [(path, node) for path, node in calls if path.name != "table_kernel.py"]
    assert {path.name for path, _ in by_torch} == {"adam.py", "activation_maximisation.py"}
    for path, node in by_torch:
        fused = [ast.unparse(word.value) for word in node.keywords if word.arg == "fused"]
        assert fused == ["True"], f"{path}:{node.lineno}"
