"""Tables of the comparison of methods: scores and curves."""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from pipeline.explanations.method import ExplanationMethod
from pipeline.metrics.comparison import MethodScores
from pipeline.metrics.intervals import estimate
from pipeline.metrics.scores import CURVES, SCORES

Scores = Mapping[str, list[MethodScores]]


def scores_table(
    by_method: Scores, methods: Mapping[str, ExplanationMethod], resamples: int
) -> pd.DataFrame:
    """One row a method: what it is, on how many seeds and examples, then per score four columns.

    ``<score>``, ``<score>_low`` and ``<score>_high`` are `estimate`'s, over examples and seeds;
    ``<score>_undefined`` is how many values, of seeds × examples, it leaves out.

    Parameters
    ----------
    by_method : per name of a method its scores, one a seed.
    methods : per name what the table says of it.
    resamples : of the bootstrap.
    """
    rows = []
    for name, of_seeds in by_method.items():
        row: dict[str, str | int | float] = {
            "method": name,
            "label": methods[name].label,
            "family": methods[name].family,
            "speaks_of": methods[name].speaks_of,
            "by_removal": methods[name].by_removal,
            "seeds": len(of_seeds),
            "examples": len(of_seeds[0].values[next(iter(SCORES))]),
        }
        for score in SCORES.values():
            values = np.array([scores.values[score.name] for scores in of_seeds])
            here, undefined = estimate(values, score.statistic, resamples)
            row |= here.columns(score.name) | {f"{score.name}_undefined": undefined}
        rows.append(row)
    return pd.DataFrame(rows)


def curves_table(by_method: Scores, methods: Mapping[str, ExplanationMethod]) -> pd.DataFrame:
    """One row a point: method, label, curve, position, value; without those undefined.

    A value is the statistic of `CURVES` over examples, and the mean over seeds.
    """
    rows = []
    for name, of_seeds in by_method.items():
        for curve, statistic in CURVES.items():
            by_seed = np.array([scores.curves[curve] for scores in of_seeds])  # (S, N, P)
            points = np.ascontiguousarray(by_seed.transpose(2, 0, 1))
            for position, values in zip(of_seeds[0].positions[curve], points, strict=True):
                value = estimate(values, statistic, resamples=1)[0].mean
                if not math.isnan(value):
                    point = {"curve": curve, "position": position, "value": value}
                    rows.append({"method": name, "label": methods[name].label, **point})
    return pd.DataFrame(rows)
