import csv
import gzip
import struct

import numpy as np
import pytest
import torch

from pipeline.core.errors import PipelineError
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


@pytest.mark.parametrize("name", [TRAIN_IMAGES, TEST_LABELS])
@pytest.mark.parametrize(
    "damage",
    [
        lambda content: None,
        lambda content: b"",
        lambda content: content[:10],
        lambda content: content[:-1],
        lambda content: content + b"\0",
        lambda content: b"\x1f\x8b" + content[2:],
        lambda content: content[:2] + b"\x0d" + content[3:],  # says float32
        lambda content: content[:3] + b"\x02" + content[4:],  # says two dimensions
    ],
)
def test_full_malformed(raw, name, damage):
    content = damage((raw / name).read_bytes())
    (raw / name).unlink()
    if content is not None:
        (raw / name).write_bytes(content)
    with pytest.raises(PipelineError, match=f"cannot read .*{name}: ."):
        mnist.prepare(raw, split_seed=0)


def test_full_with_fewer_labels_than_images(raw):
    write_idx(raw / TEST_LABELS, np.zeros(19))
    with pytest.raises(PipelineError, match=r"has 20 images but .* has 19 labels"):
        mnist.prepare(raw, split_seed=0)


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


@pytest.mark.parametrize(
    "table, message",
    [
        ("1,2,3\n", "must be rows of 785 whole numbers .* got 3 columns"),
        ("0.5," * 784 + "1\n", "must be rows of 785 whole numbers"),
        ("x," * 784 + "1\n", "must be rows of 785 whole numbers"),
        ("256," * 784 + "1\n", "pixels must be in 0..255"),
        ("0," * 784 + "10\n", "labels in 0..9"),
        ("", "cannot read"),
    ],
)
def test_small_malformed(tmp_path, table, message):
    (tmp_path / mnist_5k.FILE_NAME).write_bytes(gzip.compress(table.encode()))
    with pytest.raises(PipelineError, match=message) as caught:
        mnist_5k.prepare(tmp_path, split_seed=0)
    assert mnist_5k.FILE_NAME in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [None, b"", b"no gzip", gzip.compress(b"0," * 9_999)[:-9]],
    ids=["missing", "empty", "no gzip", "cut off"],
)
def test_small_unreadable(tmp_path, content):
    if content is not None:
        (tmp_path / mnist_5k.FILE_NAME).write_bytes(content)
    with pytest.raises(PipelineError, match=f"cannot read .*{mnist_5k.FILE_NAME}"):
        mnist_5k.prepare(tmp_path, split_seed=0)


def test_small_damaged_gzip(tmp_path):
    content = bytearray(gzip.compress(np.random.default_rng(0).bytes(5_000)))
    content[1_000:1_100] = bytes(100)
    (tmp_path / mnist_5k.FILE_NAME).write_bytes(content)
    with pytest.raises(PipelineError, match=mnist_5k.FILE_NAME):
        mnist_5k.prepare(tmp_path, split_seed=0)
