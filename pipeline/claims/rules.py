"""Claims in words that have a rule: what was measured, and the outcome that it has.

A rule asks for several intervals at once, and they are widened until all of them hold together.
"""

import math
from collections.abc import Callable

import pandas as pd

from pipeline.claims.evidence import Evidence
from pipeline.claims.published import Kind
from pipeline.claims.results import ExperimentResults
from pipeline.claims.wording import points, with_bounds
from pipeline.metrics.intervals import Interval, lies_in, together, widened
from pipeline.metrics.word_power import SPACES

ATTACK_RADII = (0.2, 0.3)
_RANGES = {"concepts_between": (1.0, math.inf), "relevances_within": (0.0, 1.0)}
_WIDENED = "the intervals are widened until they hold together (Bonferroni)"
_ATTACK_QUANTITY = (
    "largest displacement of concepts, over their distance to other classes; the claim holds if it "
    f"is above 1, and that of relevances, over their distance within a class, below 1; {_WIDENED}"
)
POWER_RIVALS = ("squared_sensitivity", "tf_idf", "uniform")
_POWER_QUANTITY = (
    "least lead of LRP-ε in the explanatory power index of word embeddings, over squared "
    "sensitivity, tf-idf and uniform weights; the claim holds if all three leads are above 0; "
    f"{_WIDENED}"
)
_ONE_SEED = "one seed gives no interval over seeds"


def attack_evidence(table: pd.DataFrame) -> Evidence | None:
    """Whether SENN's concepts can be attacked while its relevances hardly move.

    Zheng, Fernandes & Prakash 2019 say that a perturbation of 0.2 to 0.3 (L∞, pixels in [0, 1])
    that keeps the predicted class moves h(x) farther than the distance to natural images of other
    classes, while θ(x) hardly moves. Here that means, at every radius measured from 0.2 to 0.3,

    - ‖h(x') − h(x)‖ is larger than the mean distance to test images of other classes: its ratio is
      above 1;
    - ‖θ(x') − θ(x)‖ is smaller than the mean distance to test images of the *same* class, within
      which explanations differ anyway: its ratio is below 1.

    Medians over images, means over seeds (`pipeline.metrics.attacks`).

    Parameters
    ----------
    table : an experiment's ``reports/worst_case``.

    Returns
    -------
    None if no radius lies in `ATTACK_RADII`. The number is that of the smallest radius.
    """
    least, most = ATTACK_RADII
    rows = table[(table["measure"] == "attack") & table["radius"].between(least, most)]
    rows = rows[rows["quantity"].isin(_RANGES)].sort_values("radius", kind="stable")
    if rows.empty:
        return None
    if rows["value"].isna().any():
        return Evidence(None, _ATTACK_QUANTITY, "undefined: concepts or relevances are constant")
    if (rows["seeds"] < 2).any():
        return Evidence(None, _ATTACK_QUANTITY, _ONE_SEED)
    outcomes, words, shown = [], [], None
    for row in rows.to_dict("records"):
        here = widened(row, "value", len(rows)).within(0, math.inf)
        outcomes.append(lies_in(here, *_RANGES[row["quantity"]]))
        if shown is None and row["quantity"] == "concepts_between":
            shown = here
        number = with_bounds(f"{here.mean:.2f}", here)
        words.append(f"{row['quantity'].split('_')[0]} {number} at {row['radius']:g}")
    return Evidence(shown, _ATTACK_QUANTITY, "; ".join(words), together(outcomes))


def power_evidence(table: pd.DataFrame) -> Evidence | None:
    """Whether LRP tells more of a text's topic than sensitivities and plain word weights.

    Arras et al. 2017 ("What is relevant in a text document?") say so of 20 Newsgroups and a
    convolutional network: sums of word embeddings weighted by LRP have a higher explanatory power
    index than those weighted by squared gradients, by tf-idf or uniformly. Here that means that
    LRP-ε's index less that of each of the three is above 0 (`pipeline.metrics.word_power`).

    Parameters
    ----------
    table : an experiment's rows of ``reports/text/power.csv``.

    Returns
    -------
    None if nothing was measured.
    """
    rows = table[table["weights"].isin(POWER_RIVALS)]
    if rows.empty:
        return None
    if (rows["seeds"] < 2).any():
        return Evidence(None, _POWER_QUANTITY, _ONE_SEED)
    embedded, one_hot = (_leads(rows[rows["vectors"] == space]) for space in SPACES)
    outcome = together(lies_in(lead, 0, math.inf) for lead in embedded.values())
    least = min(embedded.values(), key=lambda lead: lead.mean)
    remark = f"in points, {_said(embedded)}; of one-hot vectors {_said(one_hot)}"
    return Evidence(least, _POWER_QUANTITY, remark, outcome)


def _leads(rows: pd.DataFrame) -> dict[str, Interval]:
    """How far LRP-ε is ahead of each rival, by its label."""
    return {
        row["label"]: widened(row, "behind", len(rows)).within(-1, 1)
        for row in rows.to_dict("records")
    }


def _said(leads: dict[str, Interval]) -> str:
    return ", ".join(
        f"{with_bounds(points(lead.mean), lead, 100, 1)} over {label[0].lower()}{label[1:]}"
        for label, lead in leads.items()
    )


RULES: dict[Kind, Callable[[ExperimentResults], Evidence | None]] = {
    "attack": lambda experiment: attack_evidence(experiment.worst_case),
    "power": lambda experiment: power_evidence(experiment.power),
}
"""What an experiment says of claims of a kind; None if it was not measured."""
