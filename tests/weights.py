"""Files of weights that no training wrote."""

from pathlib import Path
from typing import Any

from torch import Tensor

from pipeline.core.files import write_bytes
from pipeline.models.weights import weights_file


def save_weights(path: Path, weights: dict[str, Tensor], metadata: dict[str, Any]) -> None:
    """Write them as a stage would."""
    write_bytes(path, weights_file(weights, metadata))
