"""Which validation's weights are kept, by the rule that `select` names.

The published codes keep the best validation accuracy. Of 64 validations of a model that predicts
almost at random the best is well above chance, so the rule itself can look like learning; the
others are here to tell.
"""

from typing import TypeVar, get_args

import pandas as pd
from torch import Tensor

from pipeline.core.params_types import Select

RULES: tuple[Select, ...] = get_args(Select)


Numbers = TypeVar("Numbers", Tensor, pd.Series)


def score(rule: Select, accuracy: Numbers, cross_entropy: Numbers, step: Numbers) -> Numbers:
    """What is largest at the validation whose weights are kept, the first of equals.

    Parameters
    ----------
    accuracy, cross_entropy : on the validation split.
    step : training steps taken.
    """
    match rule:
        case "best_validation_accuracy":
            return accuracy
        case "best_validation_loss":
            return -cross_entropy
        case "last":
            return step


def selected(curve: pd.DataFrame, rule: Select) -> pd.Series:
    """The row of a cell's training `curve` whose weights `rule` keeps."""
    scores = score(rule, curve["valid_accuracy"], curve["valid_classification"], curve["step"])
    return curve.iloc[int(scores.to_numpy().argmax())]
