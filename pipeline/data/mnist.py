"""MNIST, normalised with the mean and standard deviation of its pixels, as published."""

from pathlib import Path

from pipeline.core.dataset import Prepared, Split
from pipeline.data.sources import RawFile

MEAN, STD = 0.1307, 0.3081
DIGITS = tuple("0123456789")
VALID_IMAGES = 6_000  # the first 6,000 training images, a tenth, as in the review's code

_FILES = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


def files() -> tuple[RawFile, ...]:
    """The four files of MNIST, from the mirrors that torchvision knows."""
    # Imported here because it takes seconds, which only those who use MNIST should wait.
    from pipeline.core.torchvision_shim import torchvision

    mirrors = torchvision.datasets.MNIST.mirrors
    return tuple(
        RawFile(name, sha256, urls=tuple(f"{mirror}{name}.gz" for mirror in mirrors))
        for name, sha256 in _FILES.items()
    )


def prepare(raw: Path, split_seed: int) -> Prepared:
    """Full MNIST: 54,000 training, 6,000 validation and the official 10,000 test images."""
    del split_seed  # this split is fixed
    train, test = (_read_idx(raw, part) for part in ("train", "t10k"))
    return normalised(
        "mnist",
        Split(train.x[VALID_IMAGES:], train.y[VALID_IMAGES:]),
        Split(train.x[:VALID_IMAGES], train.y[:VALID_IMAGES]),
        test,
    )


def normalised(name: str, train: Split, valid: Split, test: Split) -> Prepared:
    """Images of digits as a dataset, with MNIST's normalisation."""
    return Prepared(name, train, valid, test, (), DIGITS, MEAN, STD)


def _read_idx(raw: Path, part: str) -> Split:
    from pipeline.core.torchvision_shim import torchvision

    x = torchvision.datasets.mnist.read_image_file(str(raw / f"{part}-images-idx3-ubyte"))
    y = torchvision.datasets.mnist.read_label_file(str(raw / f"{part}-labels-idx1-ubyte"))
    return Split(x.unsqueeze(1), y)
