"""Whether a model learned anything from its inputs, and what selecting its weights gained."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.core.dataset import Split
from pipeline.metrics.batches import all_logits, predict
from pipeline.models.senn import Senn

# A constant prediction does no better than the entropy of the class frequencies, and one that is
# not even tuned to them does worse. A hundredth is more than the noise of a validation, and far
# less than what the weakest model that learned something gains.
COLLAPSED_FROM = 0.99


def is_collapsed(cross_entropy: float, labels: Tensor) -> bool:
    """The rule: cross-entropy is at least 99 % of the entropy of the class frequencies.

    It is asked of the *last* validation. The weights kept are, as published, the best of many
    validations on accuracy; once a model predicts almost a constant, its accuracy wanders by tens
    of points from one validation to the next, and the best of them looks like learning.
    Cross-entropy does not wander, and says what training ended in.

    Parameters
    ----------
    cross_entropy : mean over the validation split, in nats.
    labels : of the validation split, (N,).
    """
    return cross_entropy >= COLLAPSED_FROM * class_entropy(labels)


def class_entropy(labels: Tensor) -> float:
    """Entropy of the frequencies of `labels` (N,), in nats: the best constant's cross-entropy."""
    shares = labels.bincount().double() / len(labels)
    return float(torch.special.entr(shares).sum())


def cross_entropy(model: Senn, split: Split) -> float:
    """Mean cross-entropy of `model` on `split`, in nats."""
    return float(F.cross_entropy(all_logits(model, split.x).double(), split.y))


def cross_entropy_ratio(model: Senn, split: Split) -> float:
    """`cross_entropy` over `class_entropy`, 1 for the best constant; NaN if there is one class."""
    entropy = class_entropy(split.y)
    return cross_entropy(model, split) / entropy if entropy > 0 else torch.nan


def balanced_accuracy(model: Senn, split: Split) -> float:
    """Mean over the classes in `split` of the share of their examples that are got right."""
    predicted = predict(model, split.x)
    right = (predicted == split.y).double()
    return float(torch.stack([right[split.y == label].mean() for label in split.y.unique()]).mean())


def commonest_share(model: Senn, split: Split) -> float:
    """Share of the examples for which `model` predicts the class that it predicts most."""
    return float(predict(model, split.x).bincount().max()) / len(split)


def selection(metadata: Mapping[str, Any], valid: Split) -> dict[str, float | int]:
    """What a cell's training curve says of the selection of its weights.

    Parameters
    ----------
    metadata : of the cell's file: `step`, `valid_accuracy` and `curve`.
    valid : the validation split.

    Returns
    -------
    selected_step; valid_accuracy of the selected weights, valid_accuracy_last of the last ones, and
    selection_gain, the first less the second; collapsed, 1 by `is_collapsed`, else 0.
    """
    last = metadata["curve"][-1]
    return {
        "selected_step": metadata["step"],
        "valid_accuracy": metadata["valid_accuracy"],
        "valid_accuracy_last": last["valid_accuracy"],
        "selection_gain": metadata["valid_accuracy"] - last["valid_accuracy"],
        "collapsed": int(is_collapsed(last["valid_classification"], valid.y)),
    }


def collapse_note(cells: pd.DataFrame) -> str:
    """A sentence for a number that rests on collapsed `cells`; empty if none of them is.

    Parameters
    ----------
    cells : one row a cell: robust_reg, collapsed.
    """
    counts = [
        f"{collapsed.sum():g} of {len(collapsed)} at λ = {robust_reg:g}"
        for robust_reg, collapsed in cells.groupby("robust_reg")["collapsed"]
        if collapsed.any()
    ]
    if not counts:
        return ""
    return (
        f"models collapsed in training ({', '.join(counts)}): their accuracy is that of the best "
        "of many validations, not of what they learned"
    )
