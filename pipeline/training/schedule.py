"""An epoch's schedule: after which steps models are validated, until which they train with noise.

Steps are counted in the epoch; `steps` is how many it has.
"""

import itertools
from collections.abc import Iterator

from pipeline.core.params import Experiment


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
