"""Removal: what attributions speak of, and what a model says of an example without parts of it.

Attributions speak of inputs or of concepts. Both fall into groups that can be removed, set to a
value that stands for absence: the features of a table, the patches of an image, the concepts.
Whatever removes can be crossed with any method that speaks of the same.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.core.dataset import is_word, patches
from pipeline.core.kinds import kind_of
from pipeline.metrics.batches import in_batches
from pipeline.models.senn import Senn, logits


class Removal(Protocol):
    """What attributions speak of, in groups that can be removed."""

    @property
    def groups(self) -> int:
        """How many groups there are, G."""
        ...

    def pool(self, attributions: Tensor) -> Tensor:
        """Attributions of groups, (B, G): the sum over the members of each."""
        ...

    def answer(self, model: Any, x: Tensor) -> Callable[[Tensor], Tensor]:
        """`model` at x (B, *input_shape), as a function of what is removed.

        ``answer(model, x)(removed)`` are the logits (B, C) without the groups `removed`, bool
        (B, G).
        """
        ...


@dataclass(frozen=True)
class InputRemoval:
    """Inputs are set to their baseline and the model is run again.

    Attributes
    ----------
    baseline : Tensor (*input_shape)
        Such as a `Background` has.
    patch : int
        Side of an image's `patches`, the groups; a table's features and a text's words are groups.
    """

    baseline: Tensor
    patch: int = 1

    @property
    def groups(self) -> int:
        return int(self._groups_of_features().max()) + 1

    def pool(self, attributions: Tensor) -> Tensor:
        if attributions.flatten(1).shape[1] == self.groups:  # they are of groups
            return attributions.flatten(1)
        index = self._groups_of_features().flatten().expand(len(attributions), -1)
        pooled = attributions.new_zeros(len(attributions), self.groups)
        return pooled.scatter_add(1, index, attributions.flatten(1))

    def answer(self, model: nn.Module, x: Tensor) -> Callable[[Tensor], Tensor]:
        group = self._groups_of_features()
        return lambda removed: logits(model, torch.where(removed[:, group], self.baseline, x))

    def _groups_of_features(self) -> Tensor:
        return patches(self.baseline.shape, self.patch).to(self.baseline.device)


@dataclass(frozen=True)
class ConceptRemoval:
    """A `Senn`'s concepts are set to their baseline and the relevances are held.

    Attributes
    ----------
    baseline : Tensor (K,)
        Such as the training mean of every concept; zeros remove its relevance, as the logits are
        sums (paper, section 5.2).
    """

    baseline: Tensor

    @property
    def groups(self) -> int:
        return len(self.baseline)

    def pool(self, attributions: Tensor) -> Tensor:
        return attributions

    def answer(self, model: Senn, x: Tensor) -> Callable[[Tensor], Tensor]:
        h, theta = model.conceptizer.encode(x), model.parameterizer(x)
        return lambda removed: model.aggregator(torch.where(removed, self.baseline, h), theta)


def removal_of_concepts(model: Senn, baseline: Tensor, train_concepts: Tensor) -> Removal:
    """How the concepts of `model` are removed.

    Features and words are removed from the input; learned concepts are set to their mean.

    Parameters
    ----------
    baseline : (*input_shape), the input that stands for absence.
    train_concepts : (N, K), the concepts of the training set.
    """
    if model.conceptizer.are_inputs:
        return InputRemoval(baseline)
    return ConceptRemoval(train_concepts.mean(0))


def there(x: Tensor, groups: int) -> Tensor:
    """Which of its groups each input (B, *input_shape) has, (B, groups) bool.

    All, but of a text its words alone: padding is none, and counts nowhere.
    """
    if kind_of(x.shape[1:]) == "texts":
        return is_word(x)
    return x.new_ones(len(x), groups, dtype=torch.bool)


def probabilities(
    removal: Removal, model: nn.Module, x: Tensor, target: Tensor, removed: Tensor
) -> Tensor:
    """p(target | x without some groups), for several choices of groups.

    Parameters
    ----------
    removed : (N, M, G), bool: M choices per example; or (M, G), the same ones for all.

    Returns
    -------
    (N, M), float64
    """

    def of_batch(x: Tensor, target: Tensor, removed: Tensor) -> Tensor:
        answer = removal.answer(model, x)
        choices = [_probability(answer(choice), target) for choice in removed.unbind(1)]
        return torch.stack(choices, 1)

    return in_batches(of_batch, x, target, removed.expand(len(x), *removed.shape[-2:]))


def leave_one_out(removal: Removal, model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    """p(target | x) of all of x, and without one group, each in turn: (N, 1 + G), float64."""
    none_and_each = F.pad(torch.eye(removal.groups, device=x.device), (0, 0, 1, 0)).bool()
    return probabilities(removal, model, x, target, none_and_each)


def _probability(logits: Tensor, target: Tensor) -> Tensor:
    # In float64: a saturated softmax keeps the differences that its logits have in float32.
    return logits.double().softmax(1).gather(1, target.unsqueeze(1)).squeeze(1)
