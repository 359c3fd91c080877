import hashlib

import numpy as np
import pandas as pd
import pytest
import torch

from pipeline.core.dataset import (
    FILE_NAME,
    TABLE_NAME,
    Prepared,
    Split,
    load_dataset,
    patches,
    save_dataset,
)
from pipeline.core.errors import PipelineError
from pipeline.core.tensors import write_tensors
from pipeline.core.torchvision_shim import torchvision

SPLITS = ("train", "valid", "test")


def images() -> Prepared:
    generator = torch.Generator().manual_seed(0)

    def split(size: int) -> Split:
        x = torch.randint(0, 256, (size, 1, 6, 5), generator=generator, dtype=torch.uint8)
        return Split(x, torch.randint(0, 3, (size,), generator=generator))

    extremes = Split(torch.tensor([0, 255], dtype=torch.uint8).expand(30, 2).reshape(2, 1, 6, 5),
                     torch.tensor([0, 1]))  # fmt: skip
    return Prepared(
        "images", split(40), split(8), extremes, (), ("a", "b", "c"), mean=0.1307, std=0.3081
    )


def table() -> Prepared:
    generator = torch.Generator().manual_seed(1)

    def split(size: int) -> Split:
        y = torch.randint(0, 2, (size,), generator=generator)
        return Split(torch.rand(size, 2, generator=generator), y)

    frame = pd.DataFrame({"age": [0.25, 1 / 3], "größe": [0, 1], "split": ["train", "test"]})
    return Prepared(
        "table", split(9), split(3), split(4), ("age", "größe"), ("Low", "High"), table=frame
    )


def files(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_images_are_normalised_as_torchvision_does(tmp_path):
    prepared = images()
    save_dataset(tmp_path, prepared)
    dataset = load_dataset(tmp_path)
    transform = torchvision.transforms.Compose(
        [
            torchvision.transforms.ToTensor(),
            torchvision.transforms.Normalize((0.1307,), (0.3081,)),
        ]
    )
    for name in SPLITS:
        split, stored = getattr(dataset, name), getattr(prepared, name)
        expected = [transform(image[0].numpy()[:, :, None]) for image in stored.x]
        assert torch.equal(split.x, torch.stack(expected))
        assert torch.equal(split.y, stored.y)
        assert split.x.dtype == torch.float32 and split.y.dtype == torch.int64
    assert dataset.input_shape == (1, 6, 5) and dataset.kind == "images"
    # Black and white are exactly the ends of the range to which metrics clip.
    assert (dataset.low, dataset.high) == (dataset.test.x.min(), dataset.test.x.max())
    assert dataset.low == pytest.approx(-0.1307 / 0.3081)
    assert dataset.high == pytest.approx((1 - 0.1307) / 0.3081)
    assert (dataset.mean, dataset.std) == (0.1307, 0.3081)


def test_table_is_kept_as_it_is(tmp_path):
    prepared = table()
    save_dataset(tmp_path, prepared)
    dataset = load_dataset(tmp_path)
    for name in SPLITS:
        assert torch.equal(getattr(dataset, name).x, getattr(prepared, name).x)
    assert (dataset.name, dataset.input_shape, dataset.kind) == ("table", (2,), "tables")
    assert dataset.feature_names == ("age", "größe")
    assert dataset.class_names == ("Low", "High")
    assert (dataset.low, dataset.high) == (0, 1)
    assert prepared.table is not None
    written = pd.read_csv(tmp_path / TABLE_NAME)
    assert list(written.columns) == ["age", "größe", "split"]
    assert np.array_equal(written["age"].to_numpy(np.float32), np.float32([0.25, 1 / 3]))


def test_digest_is_that_of_the_file(tmp_path):
    save_dataset(tmp_path, table())
    expected = hashlib.sha256((tmp_path / FILE_NAME).read_bytes()).hexdigest()
    assert load_dataset(tmp_path).digest == expected


@pytest.mark.parametrize("prepared", [images(), table()], ids=["images", "table"])
def test_equal_content_gives_equal_bytes(tmp_path, prepared):
    save_dataset(tmp_path / "a", prepared)
    save_dataset(tmp_path / "b", prepared)
    assert files(tmp_path / "a") == files(tmp_path / "b")
    assert (TABLE_NAME in files(tmp_path / "a")) == (prepared.table is not None)


def test_moves_between_devices(tmp_path):
    save_dataset(tmp_path, images())
    dataset = load_dataset(tmp_path)
    moved = dataset.to("meta")
    assert all(getattr(moved, name).x.is_meta and getattr(moved, name).y.is_meta for name in SPLITS)
    assert not dataset.train.x.is_meta
    assert (moved.digest, moved.input_shape) == (dataset.digest, dataset.input_shape)


def test_nothing_is_left_when_writing_fails(tmp_path):
    (tmp_path / FILE_NAME).mkdir()  # so that the last step, moving the tensors there, fails
    with pytest.raises(PipelineError, match=f"cannot write .*{FILE_NAME}"):
        save_dataset(tmp_path, table())
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_missing(tmp_path):
    with pytest.raises(PipelineError, match=f"cannot read .*{FILE_NAME}"):
        load_dataset(tmp_path)


@pytest.mark.parametrize("metadata", [{}, {"mean": 0, "std": "no number"}])
def test_another_safetensors_file(tmp_path, metadata):
    write_tensors(tmp_path / FILE_NAME, {"weight": torch.zeros(2)}, metadata)
    with pytest.raises(PipelineError, match="not a prepared dataset"):
        load_dataset(tmp_path)


def test_patches_of_images_go_through_all_channels():
    colours = patches((3, 6, 9))
    assert colours.shape == (3, 6, 9)
    for channel in colours.tolist():
        assert channel == 4 * [[0] * 4 + [1] * 4 + [2]] + 2 * [[3] * 4 + [4] * 4 + [5]]


def test_patches_of_another_side():
    assert patches((1, 3, 2), side=2).tolist() == [[[0, 0], [0, 0], [1, 1]]]


def test_features_of_tables_are_patches_of_their_own():
    assert patches((5,)).tolist() == [0, 1, 2, 3, 4]
