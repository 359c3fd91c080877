"""Which test examples the report shows, and everything a figure says of one."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pipeline.data.dataset import Dataset
from pipeline.explanations.contrast import prediction_and_contrast
from pipeline.explanations.senn import contributions, relevances
from pipeline.models.conceptizers import VaeConceptizer
from pipeline.models.senn import Senn
from pipeline.reporting.style import common_limit


@dataclass(frozen=True)
class Example:
    """One explained prediction; arrays are per concept, for the predicted or the contrast class.

    Attributes
    ----------
    x : ndarray
        Raw values in [0, 1]: feature values, or pixels (channels, height, width).
    prediction, contrast, truth : str
        Names of classes; `contrast` is the second most probable.
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


def pick(labels: Tensor, count: int) -> Tensor:
    """Indices of `count` examples: the first of each class in turn, then the second of each, ….

    In the order of the data, so that nobody chose them. Fewer if there are not so many examples.
    """
    rank = torch.zeros_like(labels)
    for label in labels.unique():
        of_class = labels == label
        rank[of_class] = torch.arange(int(of_class.sum()))
    order = np.lexsort((labels.numpy(), rank.numpy()))
    return torch.from_numpy(order[:count].copy())


@torch.no_grad()
def explained(senn: Senn, data: Dataset, indices: Tensor) -> list[Example]:
    """What `senn` says of the test examples at `indices`."""
    x, names = data.test.x[indices], data.class_names
    output = senn(x)
    own, other = prediction_and_contrast(output.logits)
    per_concept = {
        "concepts": output.concepts.numpy(),
        "relevances": relevances(senn, x, own).numpy(),
        "contributions": contributions(senn, x, own).numpy(),
        "contrast_contributions": contributions(senn, x, other).numpy(),
    }
    probability = output.logits.softmax(1).max(1).values
    return [
        Example(
            x=raw(x[i], data).numpy(),
            truth=names[int(data.test.y[index])],
            prediction=names[int(own[i])],
            contrast=names[int(other[i])],
            probability=float(probability[i]),
            **{name: values[i] for name, values in per_concept.items()},
        )
        for i, index in enumerate(indices.tolist())
    ]


def raw(x: Tensor, data: Dataset) -> Tensor:
    """Normalised inputs back in [0, 1]."""
    return (x * data.std + data.mean).clamp(0, 1)


def decoded(reconstruction: Tensor, conceptizer: VaeConceptizer) -> np.ndarray:
    """A VAE's reconstruction as its sigmoid says it, in [0, 1], whatever its target was."""
    return (reconstruction * conceptizer.scale + conceptizer.shift).clamp(0, 1).numpy()


def common_limits(examples: Sequence[Example], *fields: str) -> list[float]:
    """Per field, a limit that all of `examples` fit in: one axis for all of them."""
    return [
        common_limit(np.stack([getattr(example, field) for example in examples]))
        for field in fields
    ]
