"""The table of the comparison: what was measured of every method, and how far it trails SENN."""

import numpy as np
import pandas as pd

from pipeline.metrics.intervals import Interval, estimate, interval
from pipeline.rivals.measure import Measured, Values
from pipeline.rivals.methods import CONTRIBUTION, RIVALS, SENN

_SCALES = {
    "local": ("raw", "relative"),
    "discrete": ("raw", "relative"),
    "faithfulness": ("raw",),
    "length": (),
}
_ROUNDING = 1e-6  # smaller ratios and lengths are float32's own


def table(measured: Measured, resamples: int) -> pd.DataFrame:
    """One row a measure, setting, scale and method.

    - measure, setting : as in `pipeline.rivals.measure`: `local`, `discrete`, `faithfulness`.
    - scale : ``raw``; or ``relative``, ratios over the length of the method's explanations, and
      with distances in units of the training set's spread.
    - value : over the anchors, the median of ``local``, the largest of ``discrete`` as published,
      the mean of ``faithfulness``; then the mean over seeds. With its interval over seeds and
      anchors, of the largest over seeds alone.
    - lower_quartile, upper_quartile : over the anchors of all seeds.
    - behind_relevance, behind_contribution : by how much the method trails SENN's relevances and
      its contributions, anchor by anchor: log₁₀ of the ratio of their ratios, or the difference of
      their correlations. Positive where SENN is better. With their intervals.

    Parameters
    ----------
    measured : per method, what was measured of each seed's model.
    resamples : of the bootstrap.
    """
    rows = []
    for name, of_seeds in measured.items():
        for key in of_seeds[0]:
            measure, setting = key.split("/")
            for scale in _SCALES[measure]:
                values = _values(of_seeds, key, scale)
                here = _over_all(values, measure, resamples)
                known = values[~np.isnan(values)]
                quartiles = np.quantile(known, (0.25, 0.75)) if len(known) else 2 * [np.nan]
                row = {
                    "measure": measure,
                    "setting": setting,
                    "scale": scale,
                    "method": name,
                    "label": RIVALS[name].label,
                    "says": RIVALS[name].says,
                    "by_removal": RIVALS[name].by_removal,
                    "seeds": len(of_seeds),
                    "examples": values.shape[1],
                    **here.columns("value"),
                    **dict(zip(("lower_quartile", "upper_quartile"), quartiles, strict=True)),
                    "undefined": int(np.isnan(values).sum()),
                }
                for own in (SENN, CONTRIBUTION):
                    senn = _values(measured[own], key, scale)
                    behind = _behind(values, senn, measure, resamples)
                    row |= behind.columns(f"behind_{own}")
                rows.append(row)
    return pd.DataFrame(rows)


def _values(of_seeds: list[Values], key: str, scale: str) -> np.ndarray:
    """(S, N), one row a seed."""
    values = np.array([one[key] for one in of_seeds])
    if scale == "raw":
        return values
    lengths = np.array([one["length/"] for one in of_seeds])
    return values / np.maximum(lengths, _ROUNDING)


def _over_all(values: np.ndarray, measure: str, resamples: int) -> Interval:
    if measure == "discrete":
        return interval(_largest(values))
    return estimate(values, "mean" if measure == "faithfulness" else "median", resamples)[0]


def _behind(values: np.ndarray, senn: np.ndarray, measure: str, resamples: int) -> Interval:
    if measure == "faithfulness":
        return estimate(senn - values, "mean", resamples)[0]
    ours, theirs = (np.log10(np.maximum(one, _ROUNDING)) for one in (senn, values))
    if measure == "discrete":
        return interval(_largest(theirs) - _largest(ours))
    return estimate(theirs - ours, "median", resamples)[0]


def _largest(values: np.ndarray) -> np.ndarray:
    """The largest defined value of each row; NaN where there is none."""
    return np.fmax.reduce(values, axis=1)
