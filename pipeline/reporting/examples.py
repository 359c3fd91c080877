"""Single predictions, explained by the model that made them."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pipeline.claims.results import ExperimentResults
from pipeline.core.dataset import Dataset
from pipeline.data.registry import plain_names
from pipeline.explanations.senn import contributions, relevances
from pipeline.models.senn import Senn
from pipeline.reporting.common import raw


@dataclass(frozen=True)
class Example:
    """One explained prediction. Arrays are per concept, for the predicted or the contrast class.

    Attributes
    ----------
    x : ndarray
        Raw values in [0, 1]: features, or pixels (channels, height, width).
    prediction, contrast, truth : str
        Names of classes; `contrast` is the second most probable class.
    """

    x: np.ndarray
    truth: str
    prediction: str
    contrast: str
    probability: float
    concepts: np.ndarray
    relevances: np.ndarray
    contributions: np.ndarray
    contrast_contributions: np.ndarray


@torch.no_grad()
def explained(senn: Senn, data: Dataset, indices: Tensor) -> list[Example]:
    """The test examples at `indices`, explained by `senn`."""
    x, names = data.test.x[indices], data.class_names
    output = senn(x)
    predicted, contrast = output.logits.topk(2, dim=1).indices.unbind(1)
    per_concept = {
        "concepts": output.concepts.numpy(),
        "relevances": relevances(senn, x, predicted).numpy(),
        "contributions": contributions(senn, x, predicted).numpy(),
        "contrast_contributions": contributions(senn, x, contrast).numpy(),
    }
    probability = output.logits.softmax(1).max(1).values
    return [
        Example(
            x=raw(x[i], data).numpy(),
            truth=names[int(data.test.y[index])],
            prediction=names[int(predicted[i])],
            contrast=names[int(contrast[i])],
            probability=float(probability[i]),
            **{name: values[i] for name, values in per_concept.items()},
        )
        for i, index in enumerate(indices.tolist())
    ]


def concept_names(experiment: ExperimentResults) -> list[str]:
    """What to call the concepts of an experiment: a table's features in words, else by number."""
    if experiment.learns_concepts:
        return [f"concept {index + 1}" for index in range(experiment.settings.num_concepts)]
    return plain_names(experiment.settings.dataset, experiment.data.feature_names)
