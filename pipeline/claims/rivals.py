"""What the paper claims of SENN beside other methods, and whether it holds, there and in fairness.

A claim is about several tables and several methods, and holds if SENN is better on each table than
each method. Every comparison has an interval (`pipeline.rivals.tables`, ``behind_…``), made wide
enough for all comparisons of its claim, under all settings, to hold together.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import pandas as pd

from pipeline.claims.comparison import DECIDED, Decided
from pipeline.metrics.intervals import Interval, Outcome, lies_in, together, widened
from pipeline.rivals.methods import CONTRIBUTION, SENN


class Setting(NamedTuple):
    """One way to compare.

    `setting` and `scale` are those of the table; `like_with_like`: methods that say a feature's
    worth are compared with SENN's contributions θ·h, instead of its relevances θ.
    """

    name: str
    setting: str
    scale: str
    like_with_like: bool = False


PAPER = Setting("paper’s setting", "paper", "raw")
SETTINGS: dict[str, tuple[Setting, ...]] = {
    measure: (
        PAPER,
        Setting("same search", "fair", "raw"),
        Setting("same scale", "fair", "relative"),
        Setting("like with like", "fair", "relative", True),
    )
    for measure in ("local", "discrete")
}
SETTINGS["faithfulness"] = (
    PAPER,
    Setting("same removal", "fair", "raw"),
    Setting("like with like", "fair", "raw", True),
)
"""By measure. The first is the paper's; each of the others changes one thing more."""


class Contest(NamedTuple):
    """What a claim is about: `experiments`, and the `rivals` that SENN is said to beat there.

    `published` are numbers of figures, by method.
    """

    measure: str
    experiments: tuple[str, ...]
    rivals: tuple[str, ...]
    published: Mapping[str, float] = {}


_SURROGATES = ("lime", "kernel_shap")
_IMAGES = ("lime", "sensitivity", "gradient_times_input", "lrp_epsilon",
           "integrated_gradients", "occlusion")  # fmt: skip

CONTESTS: dict[str, Contest] = {
    "stability-uci": Contest(
        "local",
        tuple(f"uci_{name}" for name in ("diabetes", "heart", "yeast", "ionosphere", "abalone")),
        _SURROGATES,
    ),
    "stability-mnist": Contest("local", ("mnist_senn",), _IMAGES),
    "stability-digit": Contest(
        "local",
        ("mnist_senn",),
        _IMAGES,
        {"sensitivity": 1.45, "gradient_times_input": 1.36, "integrated_gradients": 0.91,
         "lrp_epsilon": 1.35, "occlusion": 1.66, "lime": 6.23, SENN: 0.01},
    ),
    "stability-compas": Contest(
        "discrete",
        ("compas_senn",),
        _SURROGATES,
        {"kernel_shap": 6.78, "lime": 8.36, SENN: 0.57},
    ),
    "faithfulness-uci": Contest(
        "faithfulness",
        tuple(f"uci_{name}" for name in ("ionosphere", "heart", "diabetes", "abalone")),
        _SURROGATES,
    ),
}  # fmt: skip
"""By id of the claim (`pipeline.claims.published`); figures 5C, 5C, 4, 10 and 3 of the paper."""


class Judged(NamedTuple):
    """One method behind or before SENN, on one table under one setting."""

    experiment: str
    rival: str
    setting: Setting
    behind: Interval
    outcome: Outcome


class Bout(NamedTuple):
    """A contest as it went: every comparison, and the least number of seeds of a table."""

    contest: Contest
    judged: list[Judged]
    seeds: int

    @property
    def settings(self) -> tuple[Setting, ...]:
        """In their order, the paper's first."""
        return SETTINGS[self.contest.measure]

    def outcome(self, setting: Setting, experiment: str | None = None) -> Decided:
        """Under one setting, on one table or on all of them."""
        chosen = (
            one.outcome
            for one in self.judged
            if one.setting == setting and experiment in (None, one.experiment)
        )
        return DECIDED[together(chosen)]


def judge_contest(contest: Contest, tables: Mapping[str, pd.DataFrame]) -> Bout | None:
    """Judge all comparisons of a contest; None if a table is not there.

    Parameters
    ----------
    tables : by experiment, as `pipeline.rivals.tables` makes them.
    """
    if not set(contest.experiments) <= set(tables):
        return None
    seeds = min(int(tables[name]["seeds"].min()) for name in contest.experiments)
    return Bout(contest, list(_judged(contest, tables)), seeds)


def _judged(contest: Contest, tables: Mapping[str, pd.DataFrame]) -> Iterator[Judged]:
    settings = SETTINGS[contest.measure]
    comparisons = len(contest.experiments) * len(contest.rivals) * len(settings)
    for experiment in contest.experiments:
        rows = {
            (row["measure"], row["setting"], row["scale"], row["method"]): row
            for row in tables[experiment].to_dict("records")
        }
        for setting in settings:
            for rival in contest.rivals:
                row = rows[contest.measure, setting.setting, setting.scale, rival]
                worth = setting.like_with_like and row["says"] == "worth"
                own = f"behind_{CONTRIBUTION if worth else SENN}"
                behind = widened(row, own, comparisons)
                outcome = lies_in(behind, 0, float("inf"))
                yield Judged(experiment, rival, setting, behind, outcome)
