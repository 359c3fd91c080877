"""Units: how a feature is counted by people, and how it is scaled for a model."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """x = ((value - low) / (high - low)) ** power: x for a model, value in the feature's own unit.

    Attributes
    ----------
    low, high : float
        Values that become 0 and 1.
    power : float
        1 for a linear scale.
    """

    low: float = 0.0
    high: float = 1.0
    power: float = 1.0

    def scaled(self, value: float) -> float:
        """x of a value.

        Raises
        ------
        ValueError
            If the value is below `low` and the scale is not linear.
        """
        share = (value - self.low) / (self.high - self.low)
        if share < 0 and self.power != 1:
            raise ValueError(f"must be ≥ {self.low:g}")
        return float(share**self.power)

    def value(self, x: float) -> float:
        """The value of x ≥ 0; x may be below 0 on a linear scale."""
        return float(self.low + x ** (1 / self.power) * (self.high - self.low))
