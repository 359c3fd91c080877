"""The scores that every explanation method gets, in the order in which tables show them."""

from dataclasses import dataclass
from typing import Literal

Statistic = Literal["mean", "median", "share"]


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
    """

    name: str
    label: str
    best: Literal["high", "low"]
    statistic: Statistic = "mean"


SCORES: dict[str, Score] = {
    score.name: score
    for score in (
        Score("faithfulness", "faithfulness", "high"),
        Score("deletion", "deletion", "low"),
        Score("insertion", "insertion", "high"),
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
