"""A verdict on every claim: what this run measured, beside everything that was published of it.

`Comparison` has the rule. A claim is *not tested* if the run has no such cells, only one seed, or
another dataset, whose number is shown but decides nothing. Where the run departs from how the
published numbers were made, the reason says so.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import pandas as pd

from pipeline.claims.comparison import DECIDED, Comparison, Decided
from pipeline.claims.evidence import Evidence, qualitative_evidence
from pipeline.claims.published import CLAIMS, Claim, Kind
from pipeline.claims.results import ExperimentResults, Results
from pipeline.claims.rivals import CONTESTS, Bout, judge_contest
from pipeline.claims.rules import RULES
from pipeline.claims.wording import listed, minus
from pipeline.core.cells import rows_at
from pipeline.metrics.intervals import (
    Interval,
    accuracy_interval,
    difference_interval,
    interval,
    lies_in,
    lost_interval,
    together,
)

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
        if self.claim.kind == "contest" and self.remark:
            return f"{self.status}; {self.remark}"
        if self.here is None or self.status not in get_args(Decided) or not self.claim.numbers:
            return self.status
        return Comparison(self.here, self.claim.numbers).short


def verdicts(results: Results) -> list[Verdict]:
    """A verdict of this run on every claim."""
    bouts = {name: judge_contest(contest, results.rivals) for name, contest in CONTESTS.items()}
    evidence = qualitative_evidence(results)
    for claim in CLAIMS:
        experiment, rule = results.everything.get(claim.experiment), RULES.get(claim.kind)
        if experiment and rule and (found := rule(experiment)):
            evidence[claim.id] = found
    return judge(results.everything, evidence, bouts)


def as_table(verdicts: Sequence[Verdict]) -> pd.DataFrame:
    """One row a claim: what `from_table` needs, and all that was published."""
    return pd.DataFrame(
        {
            "claim": verdict.claim.id,
            "verdict": verdict.status,
            **(verdict.here or Interval(math.nan, math.nan, math.nan))._asdict(),
            "published": "; ".join(f"{one} {one.printed}" for one in verdict.claim.numbers)
            or verdict.claim.in_words,
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
    measured: Mapping[str, ExperimentResults],
    evidence: Mapping[str, Evidence],
    bouts: Mapping[str, Bout | None],
) -> list[Verdict]:
    """A verdict on each of `CLAIMS`, in their order.

    Parameters
    ----------
    measured : per experiment.
    evidence : per id of a claim in words, what was measured.
    bouts : per id of a contest, how it went.
    """
    return [
        _contest(claim, measured, bouts.get(claim.id))
        if claim.kind == "contest"
        else _judge(claim, measured, evidence)
        for claim in CLAIMS
    ]


def _contest(claim: Claim, measured: Mapping[str, ExperimentResults], bout: Bout | None) -> Verdict:
    """The status is that of the paper's setting; the remark says how it is in the others."""
    if bout is None:
        return Verdict(claim, "not tested", None, "not all of its tables are compared in this run")
    paper, *fairer = bout.settings
    remark = "; ".join(f"{setting.name}: {bout.outcome(setting)}" for setting in fairer)
    by_table = {
        name: "; ".join(f"{one.name} {bout.outcome(one, name)}" for one in (paper, *fairer))
        for name in bout.contest.experiments
    }
    words = (
        f"{len(bout.judged)} comparisons together, of each setting, table and method",
        *(f"{name}: {words}" for name, words in by_table.items() if len(by_table) > 1),
    )
    where = [measured[name].settings.dataset for name in bout.contest.experiments]
    elsewhere = [name for name in dict.fromkeys(where) if name.partition("/")[0] != claim.dataset]
    if elsewhere or bout.seeds == 1:
        why = f"measured on {listed(elsewhere)}, not {claim.dataset}" if elsewhere else "one seed"
        would = f"{paper.name}: {bout.outcome(paper)}; {remark}"
        return Verdict(claim, "not tested", None, _joined(why, *words), would)
    return Verdict(claim, bout.outcome(paper), None, _joined(*words), remark)


def _judge(
    claim: Claim, measured: Mapping[str, ExperimentResults], evidence: Mapping[str, Evidence]
) -> Verdict:
    if claim.experiment not in measured:
        return Verdict(claim, "not tested", None, f"no experiment {claim.experiment} in this run")
    run = measured[claim.experiment]
    is_elsewhere = run.settings.dataset != claim.dataset
    elsewhere = f"measured on {run.settings.dataset}, not {claim.dataset}" if is_elsewhere else ""
    # On other data there is nothing else to compare.
    departs = f"not as published: {', '.join(run.deviations)}" if run.deviations else ""
    about = elsewhere or departs
    if claim.kind == "qualitative":
        if claim.id not in evidence:
            return Verdict(claim, "not tested", None, "no image concepts in this run")
        here, quantity, remark, _ = evidence[claim.id]
        reason = _joined(f"the number is the {quantity}", about)
        return Verdict(claim, "left to the reader", here, reason, remark)
    if claim.kind in RULES:
        return _by_rule(claim, evidence.get(claim.id), elsewhere, departs)
    try:
        here = _MEASURES[claim.kind](claim, run)
    except _NotTestedError as error:
        return Verdict(claim, "not tested", None, str(error))
    if decide := _DIRECTIONS.get(claim.kind):
        outcome, reason = decide(claim, run, here)
        status: Status = "not tested" if is_elsewhere else outcome
        return Verdict(claim, status, here, _joined(reason, about))
    compared = Comparison(here, claim.numbers)
    if is_elsewhere:
        reason = f"{elsewhere} (the interval {compared.sentence()})"
        return Verdict(claim, "not tested", here, reason)
    if claim.kind == "linear accuracy":
        about = "fitted without an intercept, as SENN has none"  # and SENN's training has no part
    return Verdict(claim, compared.verdict, here, _joined(compared.sentence(), about))


def _by_rule(claim: Claim, found: Evidence | None, elsewhere: str, departs: str) -> Verdict:
    """The verdict on a claim in words whose rule is stated."""
    if found is None:
        return Verdict(claim, "not tested", None, "not measured in this run")
    here, quantity, remark, outcome = found
    reason = _joined(f"the number is the {quantity}", elsewhere or departs)
    if here is None or outcome is None:
        return Verdict(claim, "not tested", None, remark)
    status = DECIDED[outcome]
    if elsewhere:
        return Verdict(claim, "not tested", here, f"{reason}, where it is {status}", remark)
    return Verdict(claim, status, here, reason, remark)


class _NotTestedError(Exception):
    """The run lacks what the claim is about; the message says what."""


def _linear(claim: Claim, run: ExperimentResults) -> Interval:
    if run.linear is None:
        raise _NotTestedError("no linear classifier of raw features in this run")
    return run.linear


def _ahead_of_linear(claim: Claim, run: ExperimentResults) -> Interval:
    """SENN's accuracy less a linear classifier's."""
    (cells,) = _at(run.cells, claim.lambdas)
    return difference_interval(accuracy_interval(cells), _linear(claim, run))


def _stabler(claim: Claim, run: ExperimentResults) -> Interval:
    """How far the estimate of eq. 5 falls between two λ, over seeds; the median of the anchors."""
    before, after = (cells["lipschitz_local"] for cells in _at(run.cells, claim.lambdas))
    return interval((before - after).dropna().tolist())


def _is_ahead(claim: Claim, run: ExperimentResults, here: Interval) -> tuple[Decided, str]:
    linear = 100 * _linear(claim, run).mean
    reason = f"points by which SENN is ahead of logistic regression’s {linear:.1f} %"
    return DECIDED[lies_in(here, 0, math.inf)], reason


def _is_cheap(claim: Claim, run: ExperimentResults, lost: Interval) -> tuple[Decided, str]:
    """Whether the relevances become stabler, and at most `AFFORDABLE` accuracy is lost."""
    fall = _stabler(claim, run)
    before, after = (at["lipschitz_local"].mean() for at in _at(run.cells, claim.lambdas))
    outcome = together([lies_in(fall, 0, math.inf), lies_in(lost, -math.inf, AFFORDABLE)])
    reason = (
        f"reproduced if the estimate of eq. 5 falls and less than {100 * AFFORDABLE:g} points are "
        f"lost; the estimate falls from {before:.3g} to {after:.3g}, "
        + minus(f"by {fall.mean:.3g} ({fall.low:.3g} to {fall.high:.3g})")
    )
    return DECIDED[outcome], reason


AFFORDABLE = 0.05  # accuracy; the paper's figures 5A and 5B show losses of some points
# Claims that say in which direction a quantity goes, and how they are decided.
_DIRECTIONS: dict[Kind, Callable[[Claim, ExperimentResults, Interval], tuple[Decided, str]]] = {
    "ahead of linear": _is_ahead,
    "trade-off": _is_cheap,
}
_MEASURES: dict[Kind, Callable[[Claim, ExperimentResults], Interval]] = {
    "accuracy": lambda claim, run: accuracy_interval(*_at(run.cells, claim.lambdas)),
    "accuracy lost": lambda claim, run: lost_interval(*_at(run.cells, claim.lambdas)),
    "linear accuracy": _linear,
    "ahead of linear": _ahead_of_linear,
    "trade-off": lambda claim, run: lost_interval(*_at(run.cells, claim.lambdas)),
}


def _at(cells: pd.DataFrame, lambdas: Sequence[float]) -> list[pd.DataFrame]:
    """The cells of each λ, one row a seed."""
    chosen = []
    for robust_reg in lambdas:
        at = rows_at(cells, robust_reg)
        if at.empty:
            raise _NotTestedError(f"no λ = {robust_reg:g} in this run")
        chosen.append(at.set_index("seed"))
    if any(len(at) == 1 for at in chosen):
        raise _NotTestedError("one seed gives no interval over seeds")
    return chosen


def _joined(*parts: str) -> str:
    return "; ".join(filter(None, parts))
