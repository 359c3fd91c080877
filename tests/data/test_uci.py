from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from pipeline.core.dataset import Dataset, load_dataset, save_dataset
from pipeline.core.errors import PipelineError
from pipeline.core.params import load_params
from pipeline.core.stage import pins
from pipeline.data import uci
from pipeline.data.registry import collections, files_of, prepare
from pipeline.data.sources import RawFile, verify_all
from pipeline.data.uci import Table
from tests.conftest import REPOSITORY

TABLES = {name.partition("/")[2]: name for name in collections()["uci"]}
# Columns and rows of each class, as the UCI repository describes them; of heart, 6 of 303 rows have
# a missing value and are not in the file.
EXPECTED = {
    "ionosphere": (33, {"bad": 126, "good": 225}),
    "heart": (22, {"healthy": 160, "diseased": 137}),
    "diabetes": (8, {"negative": 500, "positive": 268}),
    "breast_cancer": (30, {"malignant": 212, "benign": 357}),
    "yeast": (
        8,
        {"CYT": 463, "NUC": 429, "MIT": 244, "ME3": 163, "ME2": 51, "ME1": 44, "EXC": 35,
         "VAC": 30, "POX": 20, "ERL": 5},
    ),
    "abalone": (10, {"1 to 8 rings": 1407, "9 or 10 rings": 1323, "11 or more rings": 1447}),
    "wine": (13, {"cultivar 1": 59, "cultivar 2": 71, "cultivar 3": 48}),
    "glass": (
        9,
        {"building windows, float": 70, "building windows, non-float": 76, "vehicle windows": 17,
         "containers": 13, "tableware": 9, "headlamps": 29},
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def prepared(raw_data):
    """``prepared(name)``: a table as it is prepared."""
    raw, texts = raw_data("uci"), load_params(REPOSITORY / "params.yaml").texts
    return {table: prepare(name, raw, 0, texts) for table, name in TABLES.items()}


@pytest.fixture(scope="module")
def datasets(prepared, tmp_path_factory) -> dict[str, Dataset]:
    """Every table as models see it."""
    folder = tmp_path_factory.mktemp("uci")
    for name, table in prepared.items():
        save_dataset(folder / name, table)
    return {name: load_dataset(folder / name) for name in prepared}


def splits(data):
    return data.train, data.valid, data.test


@pytest.mark.parametrize("name", EXPECTED)
def test_shape_and_class_counts(prepared, name):
    columns, counts = EXPECTED[name]
    table = prepared[name]
    y = torch.cat([split.y for split in splits(table)])
    assert dict(zip(table.class_names, y.bincount().tolist(), strict=True)) == counts
    assert not table.table.isna().any(axis=None)
    assert len(table.feature_names) == len(set(table.feature_names)) == columns
    for split in splits(table):
        assert split.x.shape == (len(split), columns)
        assert split.x.min() >= 0 and split.x.max() <= 1


def test_files_are_what_they_were(raw_data):
    assert TABLES.keys() == EXPECTED.keys()
    files = files_of("uci")
    assert len(files) == len(TABLES)
    verify_all(files, raw_data("uci"))


@pytest.mark.parametrize("name", EXPECTED)
def test_eight_tenths_one_tenth_one_tenth_of_every_class(prepared, name):
    table = prepared[name]
    rows = sum(map(len, splits(table)))
    sizes = [len(split) / rows for split in splits(table)]
    assert sizes == pytest.approx([0.8, 0.1, 0.1], abs=0.015)
    counts = [split.y.bincount(minlength=len(table.class_names)) for split in splits(table)]
    assert all((count > 0).all() for count in counts)  # the 5 rows of yeast's ERL too: 3, 1, 1


@pytest.mark.parametrize("name", EXPECTED)
def test_every_column_is_standardised_by_the_training_split(datasets, name):
    data = datasets[name]
    assert data.train.x.dtype == torch.float32
    assert data.train.x.mean(0).abs().max() < 1e-5
    assert (data.train.x.std(0, unbiased=False) - 1).abs().max() < 1e-5
    every = torch.cat([split.x for split in splits(data)])
    torch.testing.assert_close(every.amin(0), data.low)
    torch.testing.assert_close(every.amax(0), data.high)


@pytest.mark.parametrize("name, load", [("wine", load_wine), ("breast_cancer", load_breast_cancer)])
def test_as_scikit_learn_has_and_standardises_it(prepared, datasets, name, load):
    values, labels = load(return_X_y=True)
    rows = prepared[name].table
    assert np.array_equal(rows[list(datasets[name].feature_names)].to_numpy(), values)
    assert np.array_equal(rows["class"], np.array(datasets[name].class_names)[labels])
    train, test = (values[rows["split"] == split] for split in ("train", "test"))
    expected = StandardScaler().fit(train).transform(test)
    assert np.abs(datasets[name].test.x.numpy() - expected).max() < 1e-4


def test_categories_are_one_hot(raw_data, prepared):
    folder = raw_data("uci")
    heart = pd.read_csv(folder / "cleveland.dat", comment="@", header=None)
    rows = prepared["heart"].table
    for column, name in ((2, "chest pain"), (6, "resting ECG"), (12, "thallium scan")):
        encoder = OneHotEncoder(sparse_output=False)
        expected = encoder.fit_transform(heart[[column]].to_numpy())
        names = [feature for feature in rows if feature.startswith(f"{name}=")]
        assert np.array_equal(rows[names].to_numpy(), expected)
    sexes = [f"sex={sex}" for sex in "FMI"]
    assert prepared["abalone"].table[sexes].sum().tolist() == [1307, 1528, 1342]


SMALL = Table(
    "uci/small",
    RawFile("small.csv", ""),
    "-, size, colour",
    {"n": "no", "y": "yes"},
    {"colour": ("red", "blue")},
)


def write(folder: Path, rows: list[str]) -> Path:
    (folder / "small.csv").write_text("@relation small\n@data\n" + "\n".join(rows) + "\n")
    return folder


def rows(*sizes: str) -> list[str]:
    """Rows of two classes by turns."""
    return [f"id{i}, {s}, {'red' if i % 3 else 'blue'}, {'ny'[i % 2]}" for i, s in enumerate(sizes)]


def test_a_column_that_is_constant_in_training_becomes_zero(tmp_path):
    complete = write(tmp_path, rows(*["7"] * 20))
    save_dataset(tmp_path / "prepared", SMALL.prepare(complete, split_seed=0))
    data = load_dataset(tmp_path / "prepared")
    assert data.std[0] == 1
    assert all((split.x[:, 0] == 0).all() for split in splits(data))
    # One test row differs: far away, but finite.
    table = SMALL.prepare(complete, split_seed=0).table
    sizes = ["9" if split == "test" else "7" for split in table["split"]]
    save_dataset(tmp_path / "prepared", SMALL.prepare(write(tmp_path, rows(*sizes)), 0))
    data = load_dataset(tmp_path / "prepared")
    assert (data.train.x[:, 0] == 0).all() and (data.test.x[:, 0] == 1).all()


@pytest.mark.parametrize(
    "change, message",
    [
        ("id, 1, green, n", "column colour: must be one of red, blue, got 'green'"),
        ("id, 1, red, m", "column class: must be one of n, y, got 'm'"),
        ("id, many, red, n", "column size: must be a finite number, got 'many'"),
        ("id, inf, red, n", "column size: must be a finite number, got 'inf'"),
        ("id, 1, red", "column class: must be one of n, y, got nan"),
    ],
)
def test_a_value_that_should_not_be_there_is_named(tmp_path, change, message):
    with pytest.raises(PipelineError, match=rf"small\.csv: {message}"):
        SMALL.prepare(write(tmp_path, [*rows("1", "2"), change]), split_seed=0)


def test_scikit_learns_files_are_those_of_the_version_that_is_pinned():
    pinned = f"scikit-learn=={pins(Path('requirements.txt'))['scikit-learn']}"
    assert pinned == uci._SKLEARN
