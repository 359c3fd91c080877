"""One instruction set for everything that computes, so that results are the same bytes everywhere.

Libraries choose their code by processor: wider vectors where there are any, other kernels on AMD
than on Intel. Each choice rounds differently, and training that has collapsed (λ ≥ 0.1 on COMPAS)
turns a last bit into points of accuracy. The settings below take the choice away: AVX2 and FMA,
which x86-64 processors have had since 2013. They are set when `pipeline` is imported, before torch,
numpy and numba are, and passed on to every process that is started. What the environment says
otherwise is overruled.

- MKL has no AVX2 mode that AMD and Intel share: COMPATIBLE is the one they do, at half the speed.
  The products that training consists of are therefore OpenBLAS's (`core.arithmetic`).
- MKL's vector functions `sqrt`, `tan`, `asin`, `acos` and `atan` start from the processor's
  approximate reciprocals, which AMD and Intel compute differently in every mode:
  `core.arithmetic.square_root`.
- numba calls `exp`, `log` and `pow` of whatever C library there is: `training.table_kernel` has its
  own.

tests/core/test_portable.py holds digests, and says on which processors they were seen.
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
    "OPENBLAS_NUM_THREADS": "1",  # more would share out sums; processes run side by side instead
    "OMP_NUM_THREADS": "1",  # torch's, MKL's and scikit-learn's
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",  # all that numpy has beyond AVX2
    "NUMBA_CPU_NAME": "x86-64-v3",
    "NUMBA_CPU_FEATURES": "+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe,+popcnt",
    "NUMBA_DISABLE_INTEL_SVML": "1",
}


@cache
def is_able() -> bool:
    """Whether this processor has the instructions that results are promised for.

    Linux says so; of other systems it is not known.
    """
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    return {"avx2", "fma"} <= set(flags)


def _fix_instructions() -> bool:
    """Set `SETTINGS`, where the processor can follow them; whether all libraries do."""
    if not is_able():
        return False
    # numpy and numba read theirs when they are imported, torch when it first computes.
    too_late = {"numpy", "numba"} & set(sys.modules)
    were_set = all(os.environ.get(name) == value for name, value in SETTINGS.items())
    os.environ.update(SETTINGS)
    os.environ.pop("NPY_ENABLE_CPU_FEATURES", None)  # numpy refuses to have both
    return were_set or not too_late


IN_FORCE = _fix_instructions()


def kind() -> str:
    """What decides the last bit of a result here: ``avx2``, wherever results are portable.

    Elsewhere, the processor's family and what torch uses of it.
    """
    if IN_FORCE:
        return "avx2"
    import torch

    return f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}, not portable"


def advise() -> None:
    """Say in one line, on stderr, if this processor's last bits will differ."""
    if not IN_FORCE:
        why = "numpy was imported before pipeline" if is_able() else "no x86-64 with AVX2 and FMA"
        print(
            f"note: {why}, so the last bits of results differ from the committed ones "
            "(docs/reproducibility.md)",
            file=sys.stderr,
        )
