"""The scores that every explanation method gets, in the order of tables, and those tables."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from pipeline.explanations.methods import METHODS
from pipeline.metrics.intervals import Statistic, estimate, over_examples


@dataclass(frozen=True)
class Score:
    """A number that says how good an explanation is in one respect.

    Attributes
    ----------
    name : str
        Its key in tables and files.
    label : str
        Its name for people.
    best : str
        Whether a high or a low value is the better one.
    statistic : str
        Over examples. Of ratios and relative distances it is the median: single ones are huge,
        where an explanation is nearly 0. A ``share`` is a mean too, of values in [0, 1].
    by_removal : bool
        Whether it is measured by removing parts, which some methods do themselves
        (`ExplanationMethod.by_removal`); none of these is the best for it.
    """

    name: str
    label: str
    best: Literal["high", "low"]
    statistic: Statistic = "mean"
    by_removal: bool = False


SCORES: dict[str, Score] = {
    score.name: score
    for score in (
        Score("faithfulness", "faithfulness", "high", by_removal=True),
        Score("deletion", "deletion", "low", by_removal=True),
        Score("insertion", "insertion", "high", by_removal=True),
        Score("lipschitz_discrete", "Lipschitz, test points", "low", "median"),
        Score("lipschitz_local", "Lipschitz, box", "low", "median"),
        Score("noise", "noise", "low", "median"),
        Score("complexity", "complexity", "low"),
        Score("randomisation", "randomisation", "low"),
        Score("explanatory_power", "explanatory power", "high", "share"),
    )
}

# What is measured at several points: the statistic over examples that its curve shows.
CURVES: dict[str, Statistic] = {
    "deletion": "mean",
    "insertion": "mean",
    "noise": "median",
    "randomisation": "mean",
}


class MethodScores(NamedTuple):
    """What one method got on one model.

    `values` per name of a score, (N,), one per example, NaN where undefined; `curves` per name,
    (N, P), at the positions that `positions` (P,) has under the same name.
    """

    values: dict[str, list[float]]
    curves: dict[str, list[list[float]]]
    positions: dict[str, list[float]]


def scores_table(by_method: Mapping[str, list[MethodScores]], resamples: int) -> pd.DataFrame:
    """One row a method: what it is, on how many seeds and examples, then per score four columns.

    ``<score>``, ``<score>_low`` and ``<score>_high`` are `estimate`'s, over examples and seeds;
    ``<score>_undefined`` is how many values, of seeds × examples, it leaves out.

    Parameters
    ----------
    by_method : per name of a method its scores, one a seed.
    resamples : of the bootstrap.
    """
    rows = []
    for name, of_seeds in by_method.items():
        row: dict[str, str | int | float] = {
            "method": name,
            "label": METHODS[name].label,
            "family": METHODS[name].family,
            "speaks_of": METHODS[name].speaks_of,
            "by_removal": METHODS[name].by_removal,
            "seeds": len(of_seeds),
            "examples": len(of_seeds[0].values[next(iter(SCORES))]),
        }
        for score in SCORES.values():
            values = np.array([scores.values[score.name] for scores in of_seeds])
            here, undefined = estimate(values, score.statistic, resamples)
            row |= here.columns(score.name) | {f"{score.name}_undefined": undefined}
        rows.append(row)
    return pd.DataFrame(rows)


def curves_table(by_method: Mapping[str, list[MethodScores]]) -> pd.DataFrame:
    """One row a point: method, label, curve, position, value; without those undefined.

    A value is the statistic of `CURVES` over examples, and the mean over seeds.
    """
    rows = []
    for name, of_seeds in by_method.items():
        for curve, statistic in CURVES.items():
            by_seed = np.array([scores.curves[curve] for scores in of_seeds])  # (S, N, P)
            points = np.ascontiguousarray(by_seed.transpose(2, 0, 1))
            for position, values in zip(of_seeds[0].positions[curve], points, strict=True):
                if not np.isnan(values).all(1).any():
                    value = float(over_examples(values, statistic).mean())
                    point = {"curve": curve, "position": position, "value": value}
                    rows.append({"method": name, "label": METHODS[name].label, **point})
    return pd.DataFrame(rows)
