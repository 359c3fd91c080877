"""Fingerprints: one digest of everything that determines a trained model, bit for bit."""

import ast
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import torch

from pipeline.training.device import device_kind

_PIPELINE = Path(__file__).parents[1]
_TRAINING_CODE = ("data/dataset.py", "models/*.py", "training/*.py")


def fingerprint(device: torch.device, **determinants: Any) -> str:
    """SHA-256 over `determinants` (JSON values), the training code, torch and the device kind."""
    content = {
        **determinants,
        "code": code_digest(),
        "torch": torch.__version__,
        "device": device_kind(device),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@cache
def code_digest() -> str:
    """SHA-256 over the syntax trees of the code that trains: comments and layout do not count."""
    digest = hashlib.sha256()
    for pattern in _TRAINING_CODE:
        for path in sorted(_PIPELINE.glob(pattern)):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            digest.update(f"{path.relative_to(_PIPELINE).as_posix()}\n{ast.dump(tree)}\n".encode())
    return digest.hexdigest()
