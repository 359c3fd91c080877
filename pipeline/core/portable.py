"""One instruction set for all computation, so that results are the same bytes everywhere.

Libraries choose their code by processor: wider vectors where available, different kernels for AMD
and Intel. Each choice rounds differently, and where training has collapsed (λ ≥ 0.1 on COMPAS) a
last bit can change accuracy by points. The settings below fix the choice to AVX2 with FMA, which
x86-64 processors have had since 2013. They are set when `pipeline` is imported, before torch, numpy
and numba, they override the environment, and all child processes inherit them.

- MKL has no AVX2 mode common to AMD and Intel. The one mode in common, COMPATIBLE, is half as fast,
  so training uses OpenBLAS for its matrix products (`core.arithmetic`).
- MKL's vector functions `sqrt`, `tan`, `asin`, `acos` and `atan` start from the processor's
  approximate reciprocals, which differ between AMD and Intel in every mode. Hence
  `core.arithmetic.square_root`.
- numba calls `exp`, `log` and `pow` of the installed C library. Hence those in
  `training.table_kernel`.

tests/core/test_portable.py has digests of results, and names the processors they were seen on.
"""

import os
import platform
import sys
from functools import cache
from pathlib import Path

SETTINGS = {
    "ATEN_CPU_CAPABILITY": "avx2",  # torch's own loops
    "MKL_CBWR": "COMPATIBLE",  # torch's matrix products, factorisations and vector functions
    "ONEDNN_MAX_CPU_ISA": "AVX2",  # torch's convolutions
    "OPENBLAS_CORETYPE": "Haswell",  # the products of numpy and SciPy
    "OPENBLAS_NUM_THREADS": "1",  # more would split sums; processes run in parallel instead
    "OMP_NUM_THREADS": "1",  # torch's, MKL's and scikit-learn's
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",  # all of numpy's beyond AVX2
    "NUMBA_CPU_NAME": "x86-64-v3",
    "NUMBA_CPU_FEATURES": "+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe,+popcnt",
    "NUMBA_DISABLE_INTEL_SVML": "1",
}


@cache
def is_able() -> bool:
    """Whether this processor has AVX2 and FMA; only Linux can tell."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    return {"avx2", "fma"} <= set(flags)


def _fix_instructions() -> bool:
    """Apply `SETTINGS` if the processor supports them; return whether all libraries follow."""
    if not is_able():
        return False
    # numpy and numba read their settings on import, torch when it first computes.
    too_late = {"numpy", "numba"} & set(sys.modules)
    were_set = all(os.environ.get(name) == value for name, value in SETTINGS.items())
    os.environ.update(SETTINGS)
    os.environ.pop("NPY_ENABLE_CPU_FEATURES", None)  # numpy refuses both together
    return were_set or not too_late


IN_FORCE = _fix_instructions()


def kind() -> str:
    """The kind of processor that decides the last bit of a result: ``avx2`` if it is portable.

    Otherwise the processor's family and the instruction set that torch uses.
    """
    if IN_FORCE:
        return "avx2"
    import torch

    return f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}, not portable"


def advise() -> None:
    """Warn in one line on stderr if last bits will differ on this processor."""
    if not IN_FORCE:
        why = "no x86-64 processor that is known to have AVX2 and FMA"
        if is_able():
            why = "numpy or numba was imported before pipeline"
        print(
            f"note: {why}; the last bits of results will differ from the committed ones "
            "(docs/reproducibility.md)",
            file=sys.stderr,
        )
