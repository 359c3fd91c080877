import csv
import gzip
import struct

import numpy as np
import pytest
import torch

from pipeline.data import mnist, mnist_5k

SPLITS = ("train", "valid", "test")
TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def write_idx(path, array):
    """LeCun's IDX format: magic number, dimensions big-endian, then the bytes."""
    header = struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(
        f">{array.ndim}I", *array.shape
    )
    path.write_bytes(header + array.astype(np.uint8).tobytes())


def read_idx(path) -> np.ndarray:
    content = path.read_bytes()
    shape = struct.unpack_from(f">{content[3]}I", content, 4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * len(shape)).reshape(shape)


@pytest.fixture
def raw(tmp_path):
    """A small data set in MNIST's format: 6,010 training and 20 test images."""
    generator = np.random.default_rng(0)
    for part, size in (("train", 6_010), ("t10k", 20)):
        images = generator.integers(0, 256, (size, 28, 28))
        write_idx(tmp_path / f"{part}-images-idx3-ubyte", images)
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte", generator.integers(0, 10, size))
    return tmp_path


@pytest.fixture(scope="module")
def small_raw(raw_data):
    return raw_data("mnist_5k")


@pytest.fixture(scope="module")
def small(small_raw):
    return mnist_5k.prepare(small_raw, split_seed=0)


def check_parts(prepared, raw):
    """Test is the official one, the first 6,000 training images are validation."""
    images, labels = read_idx(raw / TRAIN_IMAGES), read_idx(raw / TRAIN_LABELS)
    parts = {
        "train": (images[6_000:], labels[6_000:]),
        "valid": (images[:6_000], labels[:6_000]),
        "test": (read_idx(raw / TEST_IMAGES), read_idx(raw / TEST_LABELS)),
    }
    for name, (x, y) in parts.items():
        split = getattr(prepared, name)
        assert split.x.dtype == torch.uint8 and split.y.dtype == torch.int64
        assert np.array_equal(split.x.numpy(), x[:, None])
        assert np.array_equal(split.y.numpy(), y)


def test_full_parses_and_splits_the_idx_files(raw):
    prepared = mnist.prepare(raw, split_seed=0)
    check_parts(prepared, raw)
    assert prepared.feature_names == () and prepared.class_names == tuple("0123456789")


def test_full_real(raw_data):
    raw = raw_data("mnist")
    prepared = mnist.prepare(raw, split_seed=3)
    assert [len(getattr(prepared, name)) for name in SPLITS] == [54_000, 6_000, 10_000]
    check_parts(prepared, raw)
    pixels = torch.cat([prepared.train.x, prepared.valid.x]).double() / 255
    assert round(pixels.mean().item(), 4) == prepared.mean  # the published constants
    assert round(pixels.std().item(), 4) == prepared.std


def test_small_has_every_row_once(small_raw, small):
    with gzip.open(small_raw / mnist_5k.FILE_NAME, "rt") as file:
        published = sorted(
            (int(label), bytes(map(int, pixels))) for *pixels, label in csv.reader(file)
        )
    splits = [getattr(small, name) for name in SPLITS]
    x, y = torch.cat([s.x for s in splits]), torch.cat([s.y for s in splits])
    assert x.dtype == torch.uint8 and x.shape == (5_000, 1, 28, 28)
    kept = sorted(zip(y.tolist(), (image.numpy().tobytes() for image in x), strict=True))
    assert kept == published


def test_small_split(small_raw, small):
    assert torch.bincount(small.train.y).tolist() == [400] * 10
    assert torch.bincount(small.valid.y).tolist() == [50] * 10
    assert torch.bincount(small.test.y).tolist() == [50] * 10
    again, other = (mnist_5k.prepare(small_raw, seed) for seed in (0, 1))
    assert all(torch.equal(getattr(small, s).x, getattr(again, s).x) for s in SPLITS)
    assert not torch.equal(small.test.x, other.test.x)
