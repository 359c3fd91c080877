"""The verdicts as `dvc metrics` takes them: flat, the same keys in every run."""

from collections.abc import Sequence

from pipeline.files import json_number
from pipeline.reporting.verdicts import Verdict


def claims_metrics(verdicts: Sequence[Verdict]) -> dict[str, str | float | None]:
    """Per claim the seven keys `<id>.verdict` to `<id>.reason`.

    Numbers as in `Verdict.here` and `Claim`: accuracies, and differences of them, as shares. None
    for what there is not; DVC leaves these out. Reasons have no numbers of this run, so that
    `dvc metrics diff` shows one only when it is another reason.
    """
    metrics: dict[str, str | float | None] = {}
    for verdict in verdicts:
        claim, here = verdict.claim, verdict.here
        fields = {
            "verdict": verdict.status,
            "mean": here and here.mean,
            "low": here and here.low,
            "high": here and here.high,
            "published_low": claim.low,
            "published_high": claim.high,
            "reason": verdict.reason or None,
        }
        metrics |= {f"{claim.id}.{name}": _as_json(value) for name, value in fields.items()}
    return metrics


def _as_json(value: str | float | None) -> str | float | None:
    return json_number(value) if isinstance(value, float) else value
