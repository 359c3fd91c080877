"""What a trained model follows from, besides its params, its seed and its data."""

from functools import cache
from typing import Any

import torch

from pipeline.core import fingerprint
from pipeline.core.dataset import Dataset

# Everything between prepared data and weights: a new file counts unless it is named below. Values
# of params.yaml, data and pretrained weights are determinants themselves, whatever code wrote or
# checked them; `files`, `store` and `errors` move bytes and words.
TRAINING_CODE = (*fingerprint.COMPUTING_CODE, "training/**/*.py")
WITHOUT_EFFECT = {
    "models/layered.py",  # trained models as libraries of explanations know them
    "training/progress.py",  # shows what was computed
}


def provenance(data: Dataset, device: torch.device) -> dict[str, Any]:
    """Metadata of every file of weights: what the model must know of its inputs, what made it."""
    return {
        "input_shape": list(data.input_shape),
        "mean": data.mean,
        "std": data.std,
        "data": data.digest,
        **environment(device),
    }


def environment(device: torch.device) -> dict[str, str]:
    """What decides the bits of weights: the code that trains, what runs it, device kind."""
    return fingerprint.environment(device, code_digest())


@cache
def code_digest() -> str:
    """SHA-256 over the code that trains."""
    return fingerprint.digest_of_code(training_code())


def training_code() -> set[str]:
    """The files of pipeline/ whose every line counts, as paths within it."""
    return fingerprint.files_of(TRAINING_CODE, WITHOUT_EFFECT)
