"""Which axis puts the curves of different definitions on top of each other."""

from typing import Literal

import numpy as np
from scipy.optimize import isotonic_regression

from pipeline.study.curves import Curves, Estimate, estimate

Across = Literal["variant", "reduction"]
AXES = {"robust_reg": False, "per_example": False, "test_robustness_loss": True,
        "lipschitz_discrete": True}  # fmt: skip
"""Name of an axis, and whether accuracy is expected to rise along it."""
_STEP = 0.025  # of log₁₀ of a factor
_FACTORS = np.arange(0, 3 + _STEP / 2, _STEP)


def prediction_errors(curves: Curves, axis: str, across: Across) -> np.ndarray:
    """How badly accuracy follows from the place on `axis` alone, (1 + R,): a root mean square.

    Every curve in turn is predicted from those that differ from it in `across` and agree with it
    otherwise: by the best monotone function of the axis through them, flat beyond their ends. 0 if
    they all lie on top of each other. Points at which the axis is undefined are left out.

    Raises
    ------
    ValueError
        If no curve has another that differs in `across` only.
    """
    along, other = curves.axis(axis), "reduction" if across == "variant" else "variant"
    places = ~np.isnan(along[0])
    squares = []
    for definition, own in curves.definitions():
        same = (curves.points[other] == getattr(definition, other)).to_numpy()
        known, asked = same & ~own & places, own & places
        if known.any() and asked.any():
            rows = zip(along, curves.accuracy, strict=True)
            squares.append(
                [np.square(_monotone(u, a, known, asked, AXES[axis]) - a[asked]) for u, a in rows]
            )
    if not squares:
        raise ValueError(f"no two curves differ in {across} only")
    return np.sqrt(np.concatenate(squares, axis=1).mean(axis=1))


def batch_factor(curves: Curves, variant: str) -> Estimate:
    """By what factor λ weighs more under ``batch`` than under ``example``, for one variant.

    That at which the two curves of accuracy against λ predict each other best, with λ multiplied by
    it under ``batch``; searched between 1 and 1000, in steps that the interval includes.
    """
    of_variant = (curves.points["variant"] == variant).to_numpy()
    summed = (curves.points["reduction"] == "batch").to_numpy()
    batch, example = of_variant & summed, of_variant & ~summed
    along = curves.axis("robust_reg")[0]
    shifts = _FACTORS[:, np.newaxis]
    best = []
    for accuracy in curves.accuracy:
        b, e = accuracy[batch], accuracy[example]
        errors = np.square(np.interp(along[batch] + shifts, along[example], e) - b).sum(1)
        errors += np.square(np.interp(along[example] - shifts, along[batch], b) - e).sum(1)
        best.append(_FACTORS[errors.argmin()])
    value, low, high = estimate(np.array(best))
    ends = np.clip([low - _STEP / 2, high + _STEP / 2], _FACTORS[0], _FACTORS[-1])
    return Estimate(10**value, *(10**ends).tolist())


def _monotone(
    along: np.ndarray, accuracy: np.ndarray, known: np.ndarray, asked: np.ndarray, rises: bool
) -> np.ndarray:
    """What the known points (P,) predict at those asked for."""
    places, inverse, count = np.unique(along[known], return_inverse=True, return_counts=True)
    means = np.bincount(inverse, accuracy[known]) / count
    fitted = isotonic_regression(means, weights=count, increasing=rises).x
    return np.interp(along[asked], places, fitted)
