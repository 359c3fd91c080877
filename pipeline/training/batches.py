"""A seed's batches, and an epoch's schedule.

Which examples come in which order, and what is drawn at random for them; after which steps models
are validated, until which they train with noise. Steps are counted in the epoch; `steps` is how
many it has.
"""

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from torch import Tensor

from pipeline.core.dataset import Split
from pipeline.core.params import Experiment
from pipeline.models.senn import Senn, SennNoise
from pipeline.training.objectives import Objective
from pipeline.training.randomness import batch_order, generator
from pipeline.training.robustness import directions, draw_probes


class Batches(NamedTuple):
    """Successive batches of one seed: the same for all its λ.

    `examples` (steps, B) index the training split; `noise` is the model's, (steps, B, ...) each;
    `probes` (steps, B, P, C) are the robustness loss's, None for the exact one.
    """

    examples: Tensor
    noise: SennNoise
    probes: Tensor | None


def draw_batches(senn: Senn, objective: Objective, seed: int, epoch: int, train: Split) -> Batches:
    """All of `seed`'s batches in `epoch`; the last, incomplete one is dropped, as published.

    The noise of steps in evaluation mode (`steps_with_noise`) is there, too, but changes nothing:
    all that takes steps treats them alike, and no random number depends on which they are.
    """
    experiment, device = objective.experiment, train.x.device
    order = batch_order(seed, epoch, len(train), experiment.batch_size)
    noise = generator(seed, "noise", epoch, device)
    drawn = senn.draw_noise(order.numel(), noise)
    drawn.silence(steps_with_noise(epoch, len(order), experiment) * experiment.batch_size)
    signs, probes = None, directions(objective.robustness, train.x.shape[1:])
    if probes != "exact":
        signs = draw_probes((order.numel(), probes, experiment.num_classes), noise)
    noise_and_probes = each_tensor(lambda t: t.unflatten(0, order.shape), (drawn, signs))
    return Batches(order.to(device), *noise_and_probes)


def at_step(batches: Batches, step: int) -> Batches:
    """The batch of one step, without the steps' dimension."""
    batch: Batches = each_tensor(lambda tensor: tensor[step], batches)
    return batch


def each_tensor(function: Callable[..., Any], *trees: Any) -> Any:
    """`function` of the tensors at every place of equal tuples of tuples; what is None stays so."""
    match trees[0]:
        case None:
            return None
        case Tensor():
            return function(*trees)
        case kind:
            parts = [each_tensor(function, *branches) for branches in zip(*trees, strict=True)]
            return kind._make(parts) if hasattr(kind, "_make") else tuple(parts)


def validations(epoch: int, steps: int, experiment: Experiment) -> list[int]:
    """How many of the epoch's steps were taken at each of its validations, ascending.

    One is due whenever `eval_freq` divides the steps taken since training began, and after the
    very last step.
    """
    done, every = (epoch - 1) * steps, experiment.eval_freq
    due = list(range(every - done % every, steps + 1, every))
    return [*due, steps] if epoch == experiment.epochs and steps not in due else due


def stretches(epoch: int, steps: int, experiment: Experiment) -> Iterator[tuple[int, int]]:
    """The epoch's steps from one validation to the next: (first, end)."""
    yield from itertools.pairwise(dict.fromkeys((0, *validations(epoch, steps, experiment), steps)))


def steps_with_noise(epoch: int, steps: int, experiment: Experiment) -> int:
    """How many steps, from the epoch's first, a model is in training mode: with dropout, z sampled.

    `training_mode_until` says which: ``epoch_end``, all of them; ``first_validation``, those before
    the epoch's first validation, as in the review's trainer (senn/trainer.py): it calls ``train()``
    when an epoch begins, and ``eval()`` to validate, which nothing undoes.
    """
    if experiment.training_mode_until == "epoch_end":
        return steps
    return min(validations(epoch, steps, experiment), default=steps)
