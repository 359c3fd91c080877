"""Fingerprints: one digest of everything that determines a result, bit for bit."""

import hashlib
import json
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from pathlib import Path
from types import CodeType
from typing import Any

import torch

from pipeline.core.dataset import Dataset
from pipeline.core.device import device_kind

_PIPELINE = Path(__file__).parents[1]
# What everything that computes stands on, as patterns of paths within pipeline/.
COMPUTING_CODE = (
    "__init__.py",
    "core/arithmetic.py",
    "core/cells.py",
    "core/dataset.py",
    "core/device.py",
    "core/fingerprint.py",
    "core/kinds.py",
    "core/portable.py",
    "core/tensors.py",
    "core/workers.py",
    "models/**/*.py",
)
# Everything between prepared data and weights: a new file counts unless it is named below. Values
# of params.yaml, data and pretrained weights are determinants themselves, whatever code wrote or
# checked them; `files`, `store` and `errors` move bytes and words.
TRAINING_CODE = (*COMPUTING_CODE, "training/**/*.py")
WITHOUT_EFFECT = {
    "models/layered.py",  # trained models as libraries of explanations know them
    "training/progress.py",  # shows what was computed
}

# All of a code object but where its lines are.
_OF_CODE = (
    "co_name",
    "co_code",
    "co_consts",
    "co_names",
    "co_varnames",
    "co_freevars",
    "co_cellvars",
    "co_argcount",
    "co_posonlyargcount",
    "co_kwonlyargcount",
    "co_flags",
    "co_exceptiontable",
)


def fingerprint(determinants: Any) -> str:
    """SHA-256 over `determinants`, a JSON value; the order of keys does not matter."""
    return hashlib.sha256(json.dumps(determinants, sort_keys=True).encode()).hexdigest()


def provenance(data: Dataset, device: torch.device) -> dict[str, Any]:
    """Metadata of every file of weights: what the model must know of its inputs, what made it."""
    return {
        "input_shape": list(data.input_shape),
        "mean": data.mean,
        "std": data.std,
        "data": data.digest,
        **environment(device, training_digest()),
    }


@cache
def training_digest() -> str:
    """SHA-256 over the code that trains."""
    return digest_of_code(files_of(TRAINING_CODE, WITHOUT_EFFECT))


def environment(device: torch.device, code: str) -> dict[str, str]:
    """What decides the bits besides params, seed and data: `code`, what runs it, device kind."""
    return {
        "code": code,
        "torch": _torch_version(device),
        "numba": version("numba"),
        "numpy": version("numpy"),
        "scipy": version("scipy"),
        "device": device_kind(device),
    }


def _torch_version(device: torch.device) -> str:
    """Torch's version; its build, as in 2.13.0+cpu, counts on a GPU only."""
    release, _, _ = torch.__version__.partition("+")
    return release if device.type == "cpu" else torch.__version__


def files_of(patterns: Iterable[str], without: Iterable[str] = ()) -> set[str]:
    """The files of pipeline/ that match a pattern and are not in `without`, as paths within it."""
    paths = {path for pattern in patterns for path in _PIPELINE.glob(pattern)}
    return {path.relative_to(_PIPELINE).as_posix() for path in paths} - set(without)


def digest_of_code(names: Iterable[str]) -> str:
    """SHA-256 over files of pipeline/, as compiled: comments, docstrings, layout do not count."""
    digest = hashlib.sha256()
    for name in sorted(names):
        source = (_PIPELINE / name).read_text(encoding="utf-8")
        digest.update(f"{name}\n{_described(compile(source, name, 'exec', optimize=2))}\n".encode())
    return digest.hexdigest()


def _described(constant: Any) -> str:
    """A constant of compiled code in a form that is the same in every process."""
    match constant:
        case CodeType() as code:
            parts = (getattr(code, name) for name in _OF_CODE)
            return f"<{', '.join(map(_described, parts))}>"
        case tuple() as items:
            return f"({', '.join(map(_described, items))})"
        case frozenset() as items:
            return f"{{{', '.join(sorted(map(_described, items)))}}}"
        case _:
            return repr(constant)
