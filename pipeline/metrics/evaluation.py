"""All metrics of one trained model, as one flat row.

`Protocol` is what every cell of an experiment is measured on, the same for all: comparisons between
λ and seeds are comparisons of models.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pipeline.data.dataset import Dataset
from pipeline.errors import PipelineError
from pipeline.explanations.method import Background
from pipeline.explanations.senn import contributions, relevances
from pipeline.metrics.accuracy import accuracy_interval, correct, predict
from pipeline.metrics.certified import certified_lipschitz, jacobian_norm
from pipeline.metrics.concepts import (
    concept_correlation,
    concept_sparsity,
    constant_concepts,
    encode,
    reconstruction_mse,
)
from pipeline.metrics.faithfulness import faithfulness
from pipeline.metrics.removal import removal_drops, removal_of_concepts
from pipeline.metrics.robustness import residual_norm
from pipeline.metrics.stability import (
    Box,
    find_neighbours,
    lipschitz_discrete,
    lipschitz_local,
    spread,
)
from pipeline.models.senn import Senn
from pipeline.params import Evaluate

# A constant, not a parameter: another draw of anchors would be another yardstick.
_ANCHOR_SEED = 0
# Of anchors that are images, one in so many is certified: all would nearly double the time.
_CERTIFIED_IMAGES = 8

Row = dict[str, float | int]

METRICS: dict[str, Callable[[Senn, Dataset], float | int]] = {
    "test_robustness_loss": lambda model, data: float(
        residual_norm(model, data.test.x).double().mean()
    ),
    "reconstruction_mse": lambda model, data: float(
        reconstruction_mse(model, data.test.x).double().mean()
    ),
    "concept_correlation": lambda model, data: concept_correlation(encode(model, data.test.x)),
    "concept_sparsity": lambda model, data: concept_sparsity(encode(model, data.test.x)),
    "constant_concepts": lambda model, data: int(
        constant_concepts(encode(model, data.test.x)).sum()
    ),
}
"""Metrics that take a model and the data and need nothing of the protocol, by column."""


@dataclass(frozen=True)
class Protocol:
    """What all cells of an experiment are measured on; see `prepare_protocol`.

    Attributes
    ----------
    anchors : Tensor (A, *input_shape)
        Test points at which stability is measured.
    neighbours : Tensor (A, N), bool
        Which test points lie within ε of each anchor.
    box : Box
        The continuous neighbourhood of an anchor.
    """

    data: Dataset
    settings: Evaluate
    anchors: Tensor
    neighbours: Tensor
    box: Box


class Evaluation(NamedTuple):
    """A cell's `row` of metrics, and which test examples it gets `correct` (N,)."""

    row: Row
    correct: np.ndarray


def prepare_protocol(data: Dataset, settings: Evaluate) -> Protocol:
    """Choose anchors and neighbourhoods for `data`, on its device.

    Anchors are drawn at random, once for all (test sets are not in random order: the first half of
    MNIST's is easier than the second). Units of the neighbourhoods come from the training data: the
    root-mean-square distance from the mean, and each feature's standard deviation.
    """
    generator = torch.Generator().manual_seed(_ANCHOR_SEED)
    drawn = torch.randperm(len(data.test), generator=generator)[: settings.anchors]
    anchors = data.test.x[drawn.sort().values.to(data.test.x.device)]
    radius = settings.lipschitz_discrete_radius * spread(data.train.x)
    deviation = data.train.x.std(0, unbiased=False)
    return Protocol(
        data,
        settings,
        anchors,
        find_neighbours(anchors, data.test.x, radius),
        Box(settings.lipschitz_local_radius * deviation, data.low, data.high),
    )


def evaluate_cell(model: Senn, protocol: Protocol) -> Evaluation:
    """Every metric of `model`, which is in evaluation mode on the device of the data.

    Undefined values are left out of what summarises them and counted under ``…_undefined``; where
    nothing is left the row has NaN.
    """
    test = protocol.data.test
    right = correct(model, test).cpu().numpy()
    low, high = accuracy_interval(right[np.newaxis], protocol.settings.bootstrap)
    train_concepts = encode(model, protocol.data.train.x)
    row: Row = {
        "accuracy": float(right.mean()),
        "accuracy_low": low,
        "accuracy_high": high,
        **_stability(model, protocol, train_concepts),
        **_certified_stability(model, protocol),
        **_faithfulness(model, protocol.data, train_concepts),
        **{name: metric(model, protocol.data) for name, metric in METRICS.items()},
    }
    return Evaluation(row, right)


def _stability(model: Senn, protocol: Protocol, train_concepts: Tensor) -> Row:
    """Stability of the relevances, relative to the concepts."""
    settings, data, anchors = protocol.settings, protocol.data, protocol.anchors
    target, h = predict(model, anchors), model.conceptizer.encode
    resolution = settings.lipschitz_concept_resolution * spread(train_concepts)
    discrete = lipschitz_discrete(
        model, relevances, anchors, target, data.test.x, protocol.neighbours, h
    )
    local = lipschitz_local(
        model,
        relevances,
        anchors,
        target,
        h,
        protocol.box,
        resolution,
        settings.lipschitz_local_steps,
        settings.lipschitz_local_restarts,
    )
    return _over_anchors({"lipschitz_discrete": discrete, "lipschitz_local": local})


def _certified_stability(model: Senn, protocol: Protocol) -> Row:
    """Stability of the relevances, relative to the input: found, exact and certified."""
    settings, box = protocol.settings, protocol.box
    is_image = protocol.anchors.ndim == 4
    anchors = protocol.anchors[:: _CERTIFIED_IMAGES if is_image else 1]
    target = predict(model, anchors)
    lower = lipschitz_local(
        model,
        relevances,
        anchors,
        target,
        partial(torch.flatten, start_dim=1),
        box,
        settings.lipschitz_concept_resolution * spread(protocol.data.train.x),
        settings.lipschitz_local_steps,
        settings.lipschitz_local_restarts,
    )
    try:
        certified = certified_lipschitz(model, anchors, target, box)
    except PipelineError:  # of layers that are not known there: undefined, and counted
        certified = torch.full((len(anchors),), torch.nan)
    return _over_anchors(
        {
            "lipschitz_input_lower": lower,
            "lipschitz_input_exact": jacobian_norm(model, relevances, anchors, target, box),
            "lipschitz_input_certified": certified,
        }
    )


def _over_anchors(metrics: dict[str, Tensor]) -> Row:
    """Median, 95th percentile and maximum over the anchors at which each metric is defined."""
    row: Row = {}
    for name, values in metrics.items():
        row |= {
            name: _of_defined(partial(torch.quantile, q=0.5), values),
            f"{name}_p95": _of_defined(partial(torch.quantile, q=0.95), values),
            f"{name}_max": _of_defined(torch.max, values),
            f"{name}_undefined": _undefined(values),
        }
    return row


def _faithfulness(model: Senn, data: Dataset, train_concepts: Tensor) -> Row:
    """Faithfulness of SENN's own explanations, mean over the whole test set."""
    x = data.test.x
    target = predict(model, x)
    removal = removal_of_concepts(model, Background.of(data).baseline, train_concepts)
    drops = removal_drops(removal, model, x, target)
    row: Row = {}
    for name, explain in {"relevance": relevances, "contribution": contributions}.items():
        values = faithfulness(model, explain, x, target, drops, removal)
        row[f"faithfulness_{name}"] = _of_defined(torch.mean, values)
        row[f"faithfulness_{name}_undefined"] = _undefined(values)
    return row


def _of_defined(statistic: Callable[[Tensor], Tensor], values: Tensor) -> float:
    defined = values[~values.isnan()]
    return float(statistic(defined)) if len(defined) else torch.nan


def _undefined(values: Tensor) -> int:
    return int(values.isnan().sum())
