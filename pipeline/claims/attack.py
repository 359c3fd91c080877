"""Whether SENN's concepts can be attacked while its relevances hardly move: a claim and its rule.

Zheng, Fernandes & Prakash 2019 say that a perturbation of 0.2 to 0.3 (L∞, pixels in [0, 1]) that
keeps the predicted class moves h(x) farther than the distance to natural images of other classes,
while θ(x) hardly moves. Here that means, at every radius measured from 0.2 to 0.3,

- ‖h(x') − h(x)‖ is larger than the mean distance to test images of other classes: its ratio is
  above 1;
- ‖θ(x') − θ(x)‖ is smaller than the mean distance to test images of the *same* class, within which
  explanations differ anyway: its ratio is below 1.

Medians over images, means over seeds (`pipeline.metrics.attacks`). The intervals are widened until
all of them hold together.
"""

import math

import pandas as pd

from pipeline.claims.evidence import Evidence
from pipeline.metrics.intervals import Interval, lies_in, shared_by, together

RADII = (0.2, 0.3)
_RANGES = {"concepts_between": (1.0, math.inf), "relevances_within": (0.0, 1.0)}
_QUANTITY = (
    "largest displacement of concepts, over their distance to other classes; the claim holds if it "
    "is above 1, and that of relevances, over their distance within a class, below 1"
)


def attack_evidence(table: pd.DataFrame) -> Evidence | None:
    """What the attack says of the claim; None if no radius lies in `RADII`.

    Parameters
    ----------
    table : an experiment's ``reports/worst_case``. The number is that of the smallest radius.
    """
    least, most = RADII
    rows = table[(table["measure"] == "attack") & table["radius"].between(least, most)]
    rows = rows[rows["quantity"].isin(_RANGES)].sort_values("radius", kind="stable")
    if rows.empty:
        return None
    if rows["value"].isna().any():
        return Evidence(None, _QUANTITY, "undefined: concepts or relevances are constant")
    if (rows["seeds"] < 2).any():
        return Evidence(None, _QUANTITY, "one seed gives no interval over seeds")
    outcomes, words, shown = [], [], None
    for row in rows.to_dict("records"):
        here = Interval.of(row, "value")
        here = shared_by(here, len(rows), int(row["seeds"])).within(0, math.inf)
        outcomes.append(lies_in(here, *_RANGES[row["quantity"]]))
        if shown is None and row["quantity"] == "concepts_between":
            shown = here
        number = f"{here.mean:.2f} ({here.low:.2f} to {here.high:.2f})"
        words.append(f"{row['quantity'].split('_')[0]} {number} at {row['radius']:g}")
    return Evidence(shown, _QUANTITY, "; ".join(words), together(outcomes))
