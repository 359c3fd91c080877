"""Numbers and lists as words: what tables and computed prose are made of."""

import math
from collections.abc import Sequence

import pandas as pd

from pipeline.metrics.intervals import Interval
from pipeline.reporting.style import lambda_label, power_of_ten

MISSING = "–"
_UNSEEN = 5e-4  # a deviation that no mean of three digits would show, as a share of the mean
_SMALL = -3  # the exponent below which numbers are written with a power of ten


def percent(share: float, decimals: int = 1) -> str:
    """0.809 → ``80.9 %``."""
    return f"{100 * share:.{decimals}f} %".replace("-", "−")


def points(share: float) -> str:
    """0.809 → ``80.9``: percentage points."""
    return f"{100 * share:.1f}".replace("-", "−")


def bounds(here: Interval, scale: float = 1, decimals: int = 2) -> str:
    """``0.28 to 0.34``: the ends of an interval, times `scale`."""
    low, high = (f"{scale * end:.{decimals}f}".replace("-", "−") for end in (here.low, here.high))
    return f"{low} to {high}"


def mean_and_spread(values: pd.Series) -> str:
    """Mean ± standard deviation over seeds, to the latter's first digit, or two if that is a 1.

    Small ones as ``(2.2 ± 1.1)·10⁻⁴``; the mean alone where the deviation is too small to be seen.
    """
    known = values.dropna()
    if known.empty:
        return MISSING
    mean, spread = known.mean(), known.std()
    if len(known) < 2 or spread <= _UNSEEN * abs(mean):
        return significant(mean)
    exponent = math.floor(math.log10(max(abs(mean), spread)))
    scale = 10.0**exponent if exponent < _SMALL else 1.0
    magnitude = math.floor(math.log10(spread / scale))
    decimals = (1 if spread / scale < 2 * 10**magnitude else 0) - magnitude
    numbers = (f"{round(v / scale, decimals):.{max(0, decimals)}f}" for v in (mean, spread))
    text = " ± ".join(numbers).replace("-", "−")
    return text if scale == 1 else f"({text})·{power_of_ten(exponent)}"


def percent_and_spread(shares: pd.Series) -> str:
    """``96.8 ± 0.2``: mean and standard deviation over seeds, in per cent."""
    text = f"{100 * shares.mean():.1f}"
    return text if len(shares) < 2 else f"{text} ± {100 * shares.std():.1f}"


def significant(value: float, digits: int = 3) -> str:
    """`value` to so many significant digits: 0.000123, 1234, 3.21·10⁻⁹."""
    if value == 0:
        return "0"
    decimals = digits - 1 - math.floor(math.log10(abs(value)))
    if decimals > 6:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        return f"{mantissa}·{power_of_ten(int(exponent))}".replace("-", "−")
    return f"{value:.{max(0, decimals)}f}".replace("-", "−")


def listed(words: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def lambdas(values: Sequence[float]) -> str:
    """λ as a list of words."""
    return listed([lambda_label(value) for value in values])


def counted(count: int, noun: str) -> str:
    """``1 seed``, ``3 seeds``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
