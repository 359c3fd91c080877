"""Numbers as metrics files have them."""

import math

_DIGITS = 8  # as many as float32 has, and as the CSV files


def json_number(value: float | int) -> float | int | None:
    """`value` to 8 digits, as JSON takes it: None for NaN."""
    if isinstance(value, int):
        return value
    return None if math.isnan(value) else float(f"{value:.{_DIGITS}g}")
