"""Numbers and lists as words, for tables, figures and sentences."""

import math
from collections.abc import Sequence

import pandas as pd

from pipeline.metrics.intervals import Interval

MISSING = "–"
OUTCOMES = {"reproduced": "holds", "not reproduced": "fails", "undecided": "is undecided"}
"""What is said of a claim that was tested, by its verdict."""

_UNSEEN = 5e-4  # a deviation below this share of the mean does not show in three digits
_SMALL = -3  # numbers with a smaller exponent are written with a power of ten
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def listed(words: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def minus(text: str) -> str:
    """`text` with true minus signs."""
    return text.replace("-", "−")


def number(value: float) -> str:
    """A number as short as possible: 0.5, −2."""
    return minus(f"{value:g}")


def percent(share: float, decimals: int = 1) -> str:
    """0.809 → ``80.9 %``."""
    return minus(f"{100 * share:.{decimals}f} %")


def probability(share: float) -> str:
    """0.971 → ``97.1 %``; what is not certain does not round to certainty."""
    return "more than 99.9 %" if 0.9995 <= share < 1 else percent(share)


def points(share: float) -> str:
    """0.809 → ``80.9``: percentage points."""
    return minus(f"{100 * share:.1f}")


def bounds(here: Interval, scale: float = 1, decimals: int = 2) -> str:
    """``0.28 to 0.34``: the ends of an interval, times `scale`."""
    return minus(f"{scale * here.low:.{decimals}f} to {scale * here.high:.{decimals}f}")


def with_bounds(text: str, here: Interval | None, scale: float = 1, decimals: int = 2) -> str:
    """``0.31 (0.28 to 0.34)``; `text` alone if there is no interval."""
    return f"{text} ({bounds(here, scale, decimals)})" if here else text


def share(here: Interval, decimals: int = 1) -> str:
    """``98.9 % (98.6 to 99.2)``: a share with its interval."""
    return with_bounds(percent(here.mean, decimals), here, 100, decimals)


def mean_and_spread(values: pd.Series) -> str:
    """Mean ± standard deviation over seeds, to the latter's first digit, or two if that is a 1.

    Small numbers as ``(2.2 ± 1.1)·10⁻⁴``; the mean alone if the deviation is too small to show.
    """
    defined = values.dropna()
    if defined.empty:
        return MISSING
    mean, spread = defined.mean(), defined.std()
    if len(defined) < 2 or spread <= _UNSEEN * abs(mean):
        return significant(mean)
    exponent = math.floor(math.log10(max(abs(mean), spread)))
    scale = 10.0**exponent if exponent < _SMALL else 1.0
    magnitude = math.floor(math.log10(spread / scale))
    decimals = (1 if spread / scale < 2 * 10**magnitude else 0) - magnitude
    numbers = (f"{round(v / scale, decimals):.{max(0, decimals)}f}" for v in (mean, spread))
    text = minus(" ± ".join(numbers))
    return text if scale == 1 else f"({text})·{power_of_ten(exponent)}"


def typical(values: pd.Series) -> str:
    """`mean_and_spread`, unless the deviation of what is never negative exceeds its mean.

    Then the median, and the range over seeds: ``30.0 (0 to 186)``.
    """
    defined = values.dropna()
    if len(defined) < 2 or defined.min() < 0 or defined.std() <= defined.mean():
        return mean_and_spread(values)
    least, middle, most = (significant(value) for value in defined.quantile([0, 0.5, 1]))
    return f"{middle} ({least} to {most})"


def percent_and_spread(shares: pd.Series) -> str:
    """``96.8 ± 0.2``: mean and standard deviation over seeds, in per cent."""
    text = points(shares.mean())
    return text if len(shares) < 2 else f"{text} ± {100 * shares.std():.1f}"


def significant(value: float, digits: int = 3) -> str:
    """`value` to this many significant digits: 0.000123, 1234, 3.21·10⁻⁹."""
    if value == 0:
        return "0"
    decimals = digits - 1 - math.floor(math.log10(abs(value)))
    if decimals > 6:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        return minus(f"{mantissa}·{power_of_ten(int(exponent))}")
    return minus(f"{value:.{max(0, decimals)}f}")


def lambda_label(value: float) -> str:
    """λ as people write it: plain from 0.0001 on, smaller ones as powers of ten."""
    if value == 0 or value >= 1e-4:
        return f"{value:g}"
    mantissa, exponent = f"{value:e}".split("e")
    power = power_of_ten(int(exponent))
    return power if float(mantissa) == 1 else f"{float(mantissa):g}·{power}"


def power_of_ten(exponent: int) -> str:
    """-4 → ``10⁻⁴``."""
    return "10" + str(exponent).translate(_SUPERSCRIPT)


def lambdas(values: Sequence[float]) -> str:
    """Several λ as a list of words."""
    return listed([lambda_label(value) for value in values])


def counted(count: int, noun: str) -> str:
    """``1 seed``, ``3 seeds``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
