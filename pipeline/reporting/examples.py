"""Single predictions, explained by the model that made them: in numbers, and in words.

The words are for people who know nothing of self-explaining networks.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pipeline.claims import wording
from pipeline.claims.results import ExperimentResults
from pipeline.core.dataset import Dataset
from pipeline.data.registry import plain_names
from pipeline.explanations.senn import contributions, relevances
from pipeline.models.senn import Senn
from pipeline.reporting.common import raw

_MAIN = 0.8  # reasons are named until they make up this share of all that speaks for the class
_MOST = 3  # reasons to name
_NOTABLE = 0.2  # what speaks against it is named from this share of what speaks for it


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


def reason(example: Example, names: list[str]) -> str:
    """One sentence: what the model says, whether that is right, and what it mainly rests on.

    Parameters
    ----------
    names : of the concepts.
    """
    verdict = "rightly" if example.prediction == example.truth else f"wrongly ({example.truth})"
    said = (
        f"The model says {example.prediction} ({wording.probability(example.probability)}), "
        f"{verdict}, "
    )
    values = example.contributions
    if not values.any():
        return said + "by default: every contribution is 0, so all classes are equally probable."
    order = np.argsort(-values, kind="stable")
    helping = [int(index) for index in order if values[index] > 0]
    if not helping:
        return said + f"only because still less speaks for {example.contrast}."
    total = float(values[helping].sum())
    enough = 1 + int(np.searchsorted(np.cumsum(values[helping]), _MAIN * total))
    main = [_named(names[index], values[index]) for index in helping[: min(enough, _MOST)]]
    worst = int(order[-1])
    against = ""
    if values[worst] < -_NOTABLE * total:
        against = f"; {_named(names[worst], values[worst])} speaks most against it"
    return f"{said}mainly because of {wording.listed(main)}{against}."


def arithmetic(example: Example) -> str:
    """The way from contributions to the probability, in one sentence."""
    logit, other = (
        wording.minus(f"{round(float(values.sum()), 2) + 0.0:.2f}")  # no negative zero
        for values in (example.contributions, example.contrast_contributions)
    )
    return (
        f"The contributions add up to {logit}, the logit of {example.prediction}; that of "
        f"{example.contrast} is {other}. The softmax of all logits gives {example.prediction} a "
        f"probability of {wording.probability(example.probability)}."
    )


def _named(name: str, contribution: float) -> str:
    return f"{name} ({wording.minus(f'{contribution:+.2f}')})"
