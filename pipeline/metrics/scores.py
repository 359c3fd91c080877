"""The scores that every explanation method gets, in the order in which tables show them."""

from dataclasses import dataclass
from typing import Literal

from pipeline.metrics.intervals import Statistic


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
