"""Every score of one explanation method on one model.

`Examination` is what all methods of a model are measured on, the same for all: comparisons between
methods are comparisons of methods.

Methods differ in scale (a squared gradient is small) and in what they speak of (pixels or
concepts), and no stability may follow from that alone. So explanations are scaled to length 1 for
the Lipschitz ratios, and distances between inputs, or between concepts, are in units of the
training set's spread. Both ratios are largest values over a finite sample, for every method: not
all methods can be differentiated, so none is searched by gradient ascent here (the table of λ has
that, for SENN's own relevances).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.data.dataset import Dataset
from pipeline.explanations.logits import logits
from pipeline.explanations.method import Background, ExplanationMethod, Method
from pipeline.explanations.patches import PATCH
from pipeline.metrics.batches import in_batches
from pipeline.metrics.complexity import effective_features
from pipeline.metrics.concepts import encode
from pipeline.metrics.deletion import area, removal_curves, removal_shares
from pipeline.metrics.explanatory_power import explanatory_power, relevance_weighted
from pipeline.metrics.faithfulness import faithfulness
from pipeline.metrics.memory import remembering
from pipeline.metrics.noise import noise_distances
from pipeline.metrics.randomisation import cascade, similarities
from pipeline.metrics.removal import (
    InputRemoval,
    Removal,
    removal_drops,
    removal_of_concepts,
)
from pipeline.metrics.stability import (
    Box,
    lipschitz_discrete,
    lipschitz_local,
    nearest,
    spread,
)
from pipeline.models.senn import Senn
from pipeline.params import Evaluate, Explain

# A constant, not a parameter: another draw of examples would be another yardstick.
_EXAMPLE_SEED = 0
_NOISE_SEED = 1


class MethodScores(NamedTuple):
    """What one method got on one model.

    `values` per name of a score, (N,), one per example, NaN where undefined; `curves` per name,
    (N, P), at the positions that `positions` (P,) has under the same name.
    """

    values: dict[str, np.ndarray]
    curves: dict[str, np.ndarray]
    positions: dict[str, np.ndarray]


@dataclass(frozen=True)
class Space:
    """What attributions speak of, inputs or concepts.

    Attributes
    ----------
    removal : Removal
    drops : Tensor (N, G)
        Of the probability of the predicted class, when each group is removed.
    encode : callable
        Inputs to points of the space, in units of the training set's spread.
    """

    removal: Removal
    drops: Tensor
    encode: Callable[[Tensor], Tensor]


class Examination:
    """What all methods are measured on that explain `model`.

    Attributes
    ----------
    x, y, target : Tensor
        The examples (N, *input_shape), drawn at random from the test set once for all models; their
        classes, and those that the model predicts.
    noise : Tensor
        As x: Gaussian, of each feature's standard deviation in the training set.
    neighbours : Tensor (N, test), bool
        The test points nearest to each example.
    box : Box
        The continuous neighbourhood of an example.
    background : Background
        What methods may know of the data.
    """

    def __init__(self, model: Senn, data: Dataset, settings: Explain, evaluate: Evaluate) -> None:
        self.model, self.data, self.settings = model, data, settings
        generator = torch.Generator().manual_seed(_EXAMPLE_SEED)
        drawn = torch.randperm(len(data.test), generator=generator)[: settings.examples]
        drawn = drawn.to(data.test.x.device)
        self.x, self.y = data.test.x[drawn], data.test.y[drawn]
        self.target = in_batches(lambda x: logits(model, x).argmax(1), self.x)
        deviation = data.train.x.std(0, unbiased=False)
        generator = torch.Generator().manual_seed(_NOISE_SEED)
        self.noise = torch.randn(self.x.shape, generator=generator).to(self.x) * deviation
        self.neighbours = nearest(self.x, data.test.x, settings.lipschitz_neighbours)
        self.box = Box(evaluate.lipschitz_local_radius * deviation, data.low, data.high)
        self.resolution = evaluate.lipschitz_concept_resolution
        self.background = Background.of(data)

    @cached_property
    def inputs(self) -> Space:
        """The inputs: images in the patches of the perturbation methods, tables by feature."""
        removal = InputRemoval(self.background.baseline, PATCH)
        unit = spread(self.data.train.x)
        return self._space(removal, lambda x: x / unit)

    @cached_property
    def concepts(self) -> Space:
        """The concepts."""
        h = encode(self.model, self.data.train.x)
        removal = removal_of_concepts(self.model, self.background.baseline, h)
        unit = spread(h)
        return self._space(removal, lambda x: self.model.conceptizer.encode(x) / unit)

    @cached_property
    def randomised(self) -> list[Senn]:
        """The model with its parameters shuffled, layer by layer from the output back."""
        return cascade(self.model)

    def _space(self, removal: Removal, encode: Callable[[Tensor], Tensor]) -> Space:
        return Space(removal, removal_drops(removal, self.model, self.x, self.target), encode)


def score(method: ExplanationMethod, examination: Examination) -> MethodScores:
    """Every score of `method`; of a costly one on the first `costly_examples` only."""
    settings, model = examination.settings, examination.model
    count = settings.costly_examples if method.is_costly else settings.examples
    x, y, target = examination.x[:count], examination.y[:count], examination.target[:count]
    space = examination.concepts if method.speaks_of == "concepts" else examination.inputs
    explain = remembering(method.build(examination.background))

    removed = removal_curves(model, explain, x, target, space.removal, settings.curve_steps)
    shares = removal_shares(space.removal.groups, settings.curve_steps)
    levels = torch.tensor((0.0, *settings.noise_levels), dtype=torch.float64)
    distances = noise_distances(
        model, explain, x, target, examination.noise[:count], settings.noise_levels
    )
    similar = similarities(model, explain, x, target, examination.randomised)
    curves = {
        "deletion": (shares, removed.deletion),
        "insertion": (shares, removed.insertion),
        "noise": (levels, F.pad(distances, (1, 0))),
        "randomisation": (torch.arange(1.0, similar.shape[1] + 1), similar),
    }
    features = in_batches(space.encode, x)
    vectors = relevance_weighted(model, explain, x, target, features)
    values = {
        "faithfulness": faithfulness(model, explain, x, target, space.drops[:count], space.removal),
        "deletion": area(*curves["deletion"]),
        "insertion": area(*curves["insertion"]),
        "lipschitz_discrete": lipschitz_discrete(
            model,
            _unit_length(explain),
            x,
            target,
            examination.data.test.x,
            examination.neighbours[:count],
            space.encode,
        ),
        "lipschitz_local": lipschitz_local(
            model,
            _unit_length(explain),
            x,
            target,
            space.encode,
            examination.box,
            examination.resolution,
            steps=0,
            restarts=settings.lipschitz_points,
        ),
        "noise": area(*curves["noise"]),
        "complexity": effective_features(model, explain, x, target),
        "randomisation": similar.nanmean(1),
        "explanatory_power": explanatory_power(vectors, y, settings.power_neighbours),
    }
    return MethodScores(
        {name: value.double().cpu().numpy() for name, value in values.items()},
        {name: curve.double().cpu().numpy() for name, (_, curve) in curves.items()},
        {name: positions.numpy() for name, (positions, _) in curves.items()},
    )


def _unit_length(explain: Method[Senn]) -> Method[Senn]:
    """`explain`, scaled to length 1; 0 stays 0."""

    def scaled(model: Senn, x: Tensor, target: Tensor) -> Tensor:
        return F.normalize(explain(model, x, target).flatten(1), eps=torch.finfo(x.dtype).tiny)

    return scaled
