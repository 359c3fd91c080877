"""A verdict on every claim: what this run measured, beside what was published.

The rule, as the report states it: a claim is *reproduced* if the published number, anything that
rounds to it, or any part of a published range, lies inside the 95 % interval of this run's mean
over seeds, and *not reproduced* if it lies outside. It is *not tested* if the run has no such
cells, only one seed, or another dataset, whose number is shown but judges nothing.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from pipeline.claims.evidence import Evidence, qualitative_evidence
from pipeline.claims.published import CLAIMS, Claim, Kind
from pipeline.claims.results import Results
from pipeline.metrics.intervals import Interval, accuracy_interval, lost_interval

Status = Literal["reproduced", "not reproduced", "not tested", "left to the reader"]


@dataclass(frozen=True)
class Verdict:
    """What this run says of a claim.

    Attributes
    ----------
    status : str
    here : Interval or None
        The number of this run; None if there is none. For a claim on every λ: `mean`, `low` and
        `high` are those of the λ farthest from the published range.
    reason : str
        Why it was not tested, or a caveat; may be empty.
    remark : str
        What helps to read the number; may be empty.
    """

    claim: Claim
    status: Status
    here: Interval | None
    reason: str
    remark: str = ""


def verdicts(results: Results) -> list[Verdict]:
    """A verdict of this run on every claim."""
    experiments = results.experiments
    return judge(
        {name: experiment.cells for name, experiment in experiments.items()},
        {name: experiment.settings.dataset for name, experiment in experiments.items()},
        qualitative_evidence(results),
    )


def as_table(verdicts: Sequence[Verdict]) -> pd.DataFrame:
    """One row a claim: what `from_table` needs, and the published bounds."""
    return pd.DataFrame(
        {
            "claim": verdict.claim.id,
            "verdict": verdict.status,
            **(verdict.here or Interval(math.nan, math.nan, math.nan))._asdict(),
            "published_low": verdict.claim.low,
            "published_high": verdict.claim.high,
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


def judge(
    cells: Mapping[str, pd.DataFrame],
    datasets: Mapping[str, str],
    evidence: Mapping[str, Evidence],
) -> list[Verdict]:
    """A verdict on each of `CLAIMS`, in their order.

    Parameters
    ----------
    cells : per experiment, one row a cell: robust_reg, seed, accuracy, accuracy_low, accuracy_high.
    datasets : per experiment, the name of its dataset.
    evidence : per id of a qualitative claim, what was measured.
    """
    verdicts = [_judge(claim, cells, datasets, evidence) for claim in CLAIMS]
    return [_with_rivals(verdict, verdicts) for verdict in verdicts]


def _with_rivals(verdict: Verdict, verdicts: Sequence[Verdict]) -> Verdict:
    """Say so where the interval is too wide to tell paper and review apart."""
    if verdict.status != "reproduced":
        return verdict
    rivals = " and ".join(
        other.claim.published
        for other in verdicts
        if other.status == "reproduced"
        and other.claim.source != verdict.claim.source
        and (other.claim.text, other.claim.lambdas) == (verdict.claim.text, verdict.claim.lambdas)
    )
    reason = f"the interval is so wide that it includes {rivals} too" if rivals else ""
    return replace(verdict, reason=reason)


def _judge(
    claim: Claim,
    cells: Mapping[str, pd.DataFrame],
    datasets: Mapping[str, str],
    evidence: Mapping[str, Evidence],
) -> Verdict:
    if claim.experiment not in cells:
        return Verdict(claim, "not tested", None, f"no experiment {claim.experiment} in this run")
    dataset = datasets[claim.experiment]
    elsewhere = f"measured on {dataset}, not {claim.dataset}" if dataset != claim.dataset else ""
    if claim.kind == "qualitative":
        if claim.id not in evidence:
            return Verdict(claim, "not tested", None, "no image concepts in this run")
        here, quantity, remark = evidence[claim.id]
        reason = "; ".join(filter(None, (f"the number is the {quantity}", elsewhere)))
        return Verdict(claim, "left to the reader", here, reason, remark)
    try:
        here, remark = _MEASURES[claim.kind](claim, cells[claim.experiment])
    except _NotTestedError as error:
        return Verdict(claim, "not tested", None, str(error))
    if elsewhere:
        includes = "includes" if _holds(here, claim) else "excludes"
        reason = f"{elsewhere} (the interval {includes} {claim.published})"
        return Verdict(claim, "not tested", here, reason, remark)
    status: Status = "reproduced" if _holds(here, claim) else "not reproduced"
    return Verdict(claim, status, here, "", remark)


def _holds(here: Interval, claim: Claim) -> bool:
    assert claim.low is not None and claim.high is not None
    return here.low <= claim.high and claim.low <= here.high


class _NotTestedError(Exception):
    """The run lacks what the claim is about; the message says what."""


def _every_accuracy(claim: Claim, cells: pd.DataFrame) -> tuple[Interval, str]:
    """The interval farthest from the published range: if it overlaps, they all do.

    One λ is enough to refute the claim. To confirm it takes the largest, where most is to be lost.
    """
    assert claim.low is not None and claim.high is not None
    low, high = claim.low, claim.high
    least, most = claim.lambdas
    tested = sorted(value for value in cells["robust_reg"].unique() if least <= value <= most)
    if len(tested) < 2:
        raise _NotTestedError(f"fewer than two λ between {least:g} and {most:g} in this run")
    intervals = {value: accuracy_interval(*_at(cells, [value])) for value in tested}
    farthest = max(tested, key=lambda at: max(low - intervals[at].high, intervals[at].low - high))
    if _holds(intervals[farthest], claim) and tested[-1] < most:
        raise _NotTestedError(f"no λ = {most:g} in this run; it holds up to {tested[-1]:g}")
    return intervals[farthest], f"at λ = {farthest:g}, where it is farthest from the claim"


_MEASURES: dict[Kind, Callable[[Claim, pd.DataFrame], tuple[Interval, str]]] = {
    "accuracy": lambda claim, cells: (accuracy_interval(*_at(cells, claim.lambdas)), ""),
    "every accuracy": _every_accuracy,
    "accuracy lost": lambda claim, cells: (lost_interval(*_at(cells, claim.lambdas)), ""),
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
