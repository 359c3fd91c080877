"""The study of an experiment in a few numbers, as a flat mapping."""

import pandas as pd

from pipeline.data.dataset import Dataset
from pipeline.files import json_number
from pipeline.params import Experiment
from pipeline.study.references import constant_from, linear_accuracy, majority_accuracy


def summarise(
    cells: pd.DataFrame, experiment: Experiment, data: Dataset
) -> dict[str, float | None]:
    """References, then `<variant>_<reduction>_accuracy_lost` from the smallest to the largest λ.

    References are `majority_accuracy`, and for raw features `linear_accuracy` and
    `constant_from_<reduction>` (see `references`); accuracies are means over seeds.
    """
    numbers = {"majority_accuracy": majority_accuracy(data)}
    if experiment.conceptizer.name == "identity":
        numbers["linear_accuracy"] = linear_accuracy(data)
        for reduction in cells["reduction"].unique():
            numbers[f"constant_from_{reduction}"] = constant_from(
                data.train.x, experiment.num_classes, experiment.batch_size, reduction
            )
    for (variant, reduction), own in cells.groupby(["variant", "reduction"], sort=False):
        means = own.groupby("robust_reg")["accuracy"].mean()
        numbers[f"{variant}_{reduction}_accuracy_lost"] = means.iloc[0] - means.iloc[-1]
    return {name: json_number(value) for name, value in numbers.items()}
