"""A verdict on every claim: what this run measured, beside everything that was published of it.

`Comparison` has the rule. A claim is *not tested* if the run has no such cells, only one seed, or
another dataset, whose number is shown but decides nothing. Where the run departs from how the
published numbers were made, the reason says so.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pandas as pd

from pipeline.claims.comparison import Comparison, Decided
from pipeline.claims.evidence import Evidence, qualitative_evidence
from pipeline.claims.protocol import deviations
from pipeline.claims.published import CLAIMS, Claim, Kind
from pipeline.claims.results import Results
from pipeline.metrics.intervals import Interval, accuracy_interval, lost_interval

Status = Literal[Decided, "not tested", "left to the reader"]


@dataclass(frozen=True)
class Verdict:
    """What this run says of a claim.

    Attributes
    ----------
    status : str
    here : Interval or None
        The number of this run; None if there is none.
    reason : str
        Which published numbers it agrees with and which it excludes, and departures from how those
        were made; or why it was not tested.
    remark : str
        What helps to read the number; may be empty.
    """

    claim: Claim
    status: Status
    here: Interval | None
    reason: str
    remark: str = ""

    @property
    def short(self) -> str:
        """The verdict in a few words, for `dvc metrics diff`."""
        if self.here is None or self.status not in get_args(Decided):
            return self.status
        return Comparison(self.here, self.claim.numbers).short


@dataclass(frozen=True)
class Measured:
    """What a run measured in an experiment.

    Attributes
    ----------
    cells : one row a cell: robust_reg, seed, accuracy, accuracy_low, accuracy_high.
    dataset : str
    linear : test accuracy of a linear classifier, its interval over test examples; None without.
    deviations : where it departs from how the published numbers were made.
    """

    cells: pd.DataFrame
    dataset: str
    linear: Interval | None = None
    deviations: tuple[str, ...] = ()


def verdicts(results: Results) -> list[Verdict]:
    """A verdict of this run on every claim."""
    measured = {
        name: Measured(
            experiment.cells,
            experiment.settings.dataset,
            experiment.linear,
            deviations(results.params, name),
        )
        for name, experiment in results.experiments.items()
    }
    return judge(measured, qualitative_evidence(results))


def as_table(verdicts: Sequence[Verdict]) -> pd.DataFrame:
    """One row a claim: what `from_table` needs, and all that was published."""
    return pd.DataFrame(
        {
            "claim": verdict.claim.id,
            "verdict": verdict.status,
            **(verdict.here or Interval(math.nan, math.nan, math.nan))._asdict(),
            "published": "; ".join(f"{one} {one.printed}" for one in verdict.claim.numbers),
            "reason": verdict.reason,
            "remark": verdict.remark,
        }
        for verdict in verdicts
    )


def from_table(table: pd.DataFrame) -> list[Verdict]:
    """The verdicts that `as_table` made a table of, numbers as they are there."""
    claims, texts = {claim.id: claim for claim in CLAIMS}, ["reason", "remark"]
    rows = table.assign(**table[texts].astype(object).fillna("")).to_dict("records")
    return [
        Verdict(
            claims[row["claim"]],
            row["verdict"],
            None if math.isnan(row["mean"]) else Interval(row["mean"], row["low"], row["high"]),
            row["reason"],
            row["remark"],
        )
        for row in rows
    ]


def judge(measured: Mapping[str, Measured], evidence: Mapping[str, Evidence]) -> list[Verdict]:
    """A verdict on each of `CLAIMS`, in their order.

    Parameters
    ----------
    measured : per experiment.
    evidence : per id of a qualitative claim, what was measured.
    """
    return [_judge(claim, measured, evidence) for claim in CLAIMS]


def _judge(
    claim: Claim, measured: Mapping[str, Measured], evidence: Mapping[str, Evidence]
) -> Verdict:
    if claim.experiment not in measured:
        return Verdict(claim, "not tested", None, f"no experiment {claim.experiment} in this run")
    run = measured[claim.experiment]
    is_elsewhere = run.dataset != claim.dataset
    elsewhere = f"measured on {run.dataset}, not {claim.dataset}" if is_elsewhere else ""
    # On other data there is nothing else to compare.
    departs = f"not as published: {', '.join(run.deviations)}" if run.deviations else ""
    about = elsewhere or departs
    if claim.kind == "qualitative":
        if claim.id not in evidence:
            return Verdict(claim, "not tested", None, "no image concepts in this run")
        here, quantity, remark = evidence[claim.id]
        reason = _joined(f"the number is the {quantity}", about)
        return Verdict(claim, "left to the reader", here, reason, remark)
    try:
        here = _MEASURES[claim.kind](claim, run)
    except _NotTestedError as error:
        return Verdict(claim, "not tested", None, str(error))
    compared = Comparison(here, claim.numbers)
    if is_elsewhere:
        reason = f"{elsewhere} (the interval {compared.sentence()})"
        return Verdict(claim, "not tested", here, reason)
    if claim.kind == "linear accuracy":
        about = "fitted without an intercept, as SENN has none"  # and SENN's training has no part
    return Verdict(claim, compared.verdict, here, _joined(compared.sentence(), about))


class _NotTestedError(Exception):
    """The run lacks what the claim is about; the message says what."""


def _linear(claim: Claim, run: Measured) -> Interval:
    if run.linear is None:
        raise _NotTestedError("no linear classifier of raw features in this run")
    return run.linear


_MEASURES: dict[Kind, Callable[[Claim, Measured], Interval]] = {
    "accuracy": lambda claim, run: accuracy_interval(*_at(run.cells, claim.lambdas)),
    "accuracy lost": lambda claim, run: lost_interval(*_at(run.cells, claim.lambdas)),
    "linear accuracy": _linear,
}


def _at(cells: pd.DataFrame, lambdas: Sequence[float]) -> list[pd.DataFrame]:
    """The cells of each λ, one row a seed."""
    chosen = []
    for robust_reg in lambdas:
        at = cells[np.isclose(cells["robust_reg"], robust_reg, rtol=1e-6, atol=0)]
        if at.empty:
            raise _NotTestedError(f"no λ = {robust_reg:g} in this run")
        chosen.append(at.set_index("seed"))
    if any(len(at) == 1 for at in chosen):
        raise _NotTestedError("one seed gives no interval over seeds")
    return chosen


def _joined(*parts: str) -> str:
    return "; ".join(filter(None, parts))
