"""Whether LRP tells more of a text's topic than sensitivities and plain word weights: the rule.

Arras et al. 2017 ("What is relevant in a text document?") say so of 20 Newsgroups and a
convolutional network: sums of word embeddings weighted by LRP have a higher explanatory power index
than those weighted by squared gradients, by tf-idf or uniformly. Here that means that LRP-ε's index
less that of each of the three is above 0 (`pipeline.metrics.word_power`). The intervals are widened
until all of them hold together.
"""

import math

import pandas as pd

from pipeline.claims.evidence import Evidence
from pipeline.metrics.intervals import Interval, lies_in, shared_by, together
from pipeline.metrics.word_power import SPACES

RIVALS = ("squared_sensitivity", "tf_idf", "uniform")
_QUANTITY = (
    "least lead of LRP-ε in the explanatory power index of word embeddings, over squared "
    "sensitivity, tf-idf and uniform weights; the claim holds if all three leads are above 0"
)


def power_evidence(table: pd.DataFrame) -> Evidence | None:
    """What the index says of the claim; None if nothing was measured.

    Parameters
    ----------
    table : an experiment's rows of ``reports/text/power.csv``.
    """
    rows = table[table["weights"].isin(RIVALS)]
    if rows.empty:
        return None
    if (rows["seeds"] < 2).any():
        return Evidence(None, _QUANTITY, "one seed gives no interval over seeds")
    embedded, one_hot = (_leads(rows[rows["vectors"] == space]) for space in SPACES)
    outcome = together(lies_in(lead, 0, math.inf) for lead in embedded.values())
    least = min(embedded.values(), key=lambda lead: lead.mean)
    remark = f"in points, {_said(embedded)}; of one-hot vectors {_said(one_hot)}"
    return Evidence(least, _QUANTITY, remark, outcome)


def _leads(rows: pd.DataFrame) -> dict[str, Interval]:
    """How far LRP-ε is ahead of each rival, by its label."""
    return {
        row["label"]: shared_by(
            Interval.of(row, "behind"),
            len(rows),
            int(row["seeds"]),
        ).within(-1, 1)
        for row in rows.to_dict("records")
    }


def _said(leads: dict[str, Interval]) -> str:
    return ", ".join(
        f"{100 * lead.mean:.1f} ({100 * lead.low:.1f} to {100 * lead.high:.1f}) over {label}"
        for label, lead in leads.items()
    )
