import itertools
from collections import defaultdict

import numpy as np
import pandas as pd
import pytest
import torch

from pipeline.core.errors import PipelineError
from pipeline.data.compas import (
    FILE_NAME,
    PLAIN_NAMES,
    consistent_rows,
    derive_table,
    prepare,
)
from pipeline.data.registry import plain_names

COLUMNS = [
    "Two_yr_Recidivism",
    "Number_of_Priors",
    "score_factor",
    "Age_Above_FourtyFive",
    "Age_Below_TwentyFive",
    "African_American",
    "Asian",
    "Hispanic",
    "Native_American",
    "Other",
    "Female",
    "Misdemeanor",
]
SPLITS = ("train", "valid", "test")


def person(**differences) -> pd.DataFrame:
    """One row of ProPublica's file: kept by the filter, all indicators 0."""
    row = {
        "days_b_screening_arrest": 0.0,
        "is_recid": 0,
        "c_charge_degree": "F",
        "score_text": "Low",
        "two_year_recid": 0,
        "priors_count": 0,
        "age_cat": "25 - 45",
        "race": "Caucasian",
        "sex": "Male",
    }
    return pd.DataFrame([row | differences])


def textbook_pruning(rows: list[tuple], labels: list[int]) -> list[bool]:
    """The rule of `find_conflicting` in plain Python, for comparison."""
    groups = defaultdict(list)
    for row, label in zip(rows, labels, strict=True):
        groups[row].append(label)
    survives = []
    for row, label in zip(rows, labels, strict=True):
        group = groups[row]
        share = sum(group) / len(group)
        clear = abs(share - 0.5) >= 0.2
        survives.append(len(group) > 1 and (not clear or label == (share > 0.5)))
    return survives


@pytest.fixture(scope="module")
def raw(raw_data):
    return raw_data("compas")


@pytest.fixture(scope="module")
def prepared(raw):
    return prepare(raw, split_seed=0)


def test_derived_table_has_the_published_counts(raw):
    # The counts of ProPublica's published analysis, after its filter.
    table = derive_table(pd.read_csv(raw / FILE_NAME))
    assert list(table.columns) == COLUMNS
    assert len(table) == 6_172
    assert table.drop(columns="Number_of_Priors").sum().to_dict() == {
        "Two_yr_Recidivism": 2_809,
        "score_factor": 6_172 - 3_421,
        "Age_Above_FourtyFive": 1_293,
        "Age_Below_TwentyFive": 1_347,
        "African_American": 3_175,
        "Asian": 31,
        "Hispanic": 509,
        "Native_American": 11,
        "Other": 343,
        "Female": 1_175,
        "Misdemeanor": 2_202,
    }
    assert table["Number_of_Priors"].max() == 38


@pytest.mark.parametrize(
    "differences, kept",
    [
        ({}, True),
        ({"days_b_screening_arrest": 30.0}, True),
        ({"days_b_screening_arrest": -30.0}, True),
        ({"days_b_screening_arrest": 31.0}, False),
        ({"days_b_screening_arrest": -31.0}, False),
        ({"days_b_screening_arrest": None}, False),
        ({"is_recid": -1}, False),
        ({"c_charge_degree": "O"}, False),
        ({"score_text": None}, False),
    ],
)
def test_filter(differences, kept):
    table = pd.concat([person(), person(**differences)])
    assert len(derive_table(table)) == 1 + kept


@pytest.mark.parametrize(
    "differences, column, value",
    [
        ({"two_year_recid": 1}, "Two_yr_Recidivism", 1),
        ({"priors_count": 7}, "Number_of_Priors", 7),
        ({"score_text": "Medium"}, "score_factor", 1),
        ({"score_text": "High"}, "score_factor", 1),
        ({"age_cat": "Greater than 45"}, "Age_Above_FourtyFive", 1),
        ({"age_cat": "Less than 25"}, "Age_Below_TwentyFive", 1),
        ({"race": "African-American"}, "African_American", 1),
        ({"race": "Asian"}, "Asian", 1),
        ({"race": "Hispanic"}, "Hispanic", 1),
        ({"race": "Native American"}, "Native_American", 1),
        ({"race": "Other"}, "Other", 1),
        ({"sex": "Female"}, "Female", 1),
        ({"c_charge_degree": "M"}, "Misdemeanor", 1),
    ],
)
def test_each_column_comes_from_its_source(differences, column, value):
    assert derive_table(person()).iloc[0].tolist() == [0] * 12
    row = derive_table(person(**differences)).iloc[0].to_dict()
    assert row == dict.fromkeys(COLUMNS, 0) | {column: value}


@pytest.mark.parametrize(
    "labels, survives",
    [
        ([0], [False]),  # quirk 1: alone
        ([0, 0], [True, True]),
        ([0, 1], [True, True]),  # undecided
        ([1, 0, 1], [True, True, True]),  # 2/3 is within 0.2 of 1/2
        ([1, 1, 0, 1], [True, True, False, True]),
        ([0, 0, 1, 0], [True, True, False, True]),
        ([1] * 7 + [0] * 3, [True] * 10),  # quirk 2: 0.7 - 0.5 < 0.2 in floating point
        ([1] * 3 + [0] * 7, [False] * 3 + [True] * 7),  # and 0.5 - 0.3 is not
    ],
)
def test_pruning_of_one_group(labels, survives):
    table = pd.DataFrame({"a": 0.5, "b": 1, "score_factor": labels})
    assert consistent_rows(table).tolist() == survives


def test_pruning_is_the_textbook_rule():
    generator = np.random.default_rng(0)
    for size, values in itertools.product((1, 30, 300), (2, 4)):
        rows = generator.integers(0, values, (size, 3))
        labels = (generator.random(size) < 0.7).astype(int)
        table = pd.DataFrame(rows, columns=["a", "b", "c"])
        table["score_factor"] = labels
        expected = textbook_pruning([tuple(row) for row in rows], labels.tolist())
        assert consistent_rows(table).tolist() == expected


def test_prepared_table_has_the_published_size(prepared):
    assert len(prepared.table) == 5_359
    assert [len(getattr(prepared, name)) for name in SPLITS] == [3_858, 429, 1_072]


def test_prepared_tensors_follow_from_the_raw_file(raw, prepared):
    rows = derive_table(pd.read_csv(raw / FILE_NAME))
    scaled = [(n / 38) ** 0.5 for n in rows["Number_of_Priors"]]
    features = rows.drop(columns="score_factor").astype(float).assign(Number_of_Priors=scaled)
    labels = rows["score_factor"].tolist()
    keep = textbook_pruning(list(features.itertuples(index=False)), labels)
    expected = torch.tensor(features[keep].to_numpy(), dtype=torch.float32)
    split = prepared.table["split"].to_numpy()
    for name in SPLITS:
        x, y = getattr(prepared, name).x, getattr(prepared, name).y
        chosen = torch.from_numpy(split == name)
        assert x.dtype == torch.float32 and y.dtype == torch.int64
        torch.testing.assert_close(x, expected[chosen], rtol=1e-7, atol=0)
        assert y.tolist() == list(itertools.compress(itertools.compress(labels, keep), chosen))
    assert set(split) == set(SPLITS)


def test_prepared_names_and_range(prepared):
    assert prepared.feature_names == tuple(name for name in COLUMNS if name != "score_factor")
    assert list(prepared.table.columns) == [*COLUMNS, "split"]
    assert len(prepared.class_names) == 2 and prepared.class_names[0] == "Low"
    x = torch.cat([getattr(prepared, name).x for name in SPLITS])
    assert x.min() == 0 and x.max() == 1
    assert (prepared.mean, prepared.std) == (0, 1)


def test_every_feature_has_a_plain_name(prepared):
    assert tuple(PLAIN_NAMES) == prepared.feature_names
    names = plain_names("compas", prepared.feature_names)
    assert names == list(PLAIN_NAMES.values()) and names[2] == "Age above 45"
    assert plain_names("mnist_5k", ["a_column"]) == ["a column"]


def test_split_is_stratified_and_follows_the_seed(raw, prepared):
    shares = [getattr(prepared, name).y.double().mean().item() for name in SPLITS]
    assert max(shares) - min(shares) < 2 / 429
    again, other = prepare(raw, split_seed=0), prepare(raw, split_seed=1)
    assert again.table.equals(prepared.table)
    assert not other.table["split"].equals(prepared.table["split"])
    assert other.table.drop(columns="split").equals(prepared.table.drop(columns="split"))


def test_table_too_small_to_split(tmp_path):
    pd.concat([person(priors_count=1)] * 2).to_csv(tmp_path / FILE_NAME, index=False)
    with pytest.raises(PipelineError, match="cannot split 2 rows"):
        prepare(tmp_path, split_seed=0)
