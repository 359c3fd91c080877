"""Accuracy on a whole split, and how far to trust it."""

import numpy as np
from torch import Tensor

from pipeline.data.dataset import Split
from pipeline.metrics.batches import in_batches
from pipeline.metrics.intervals import seed_errors
from pipeline.models.senn import Senn


def predict(model: Senn, x: Tensor) -> Tensor:
    """Predicted classes (N,) of inputs (N, *input_shape)."""
    return in_batches(lambda x: model(x).logits.argmax(1), x)


def correct(model: Senn, split: Split) -> Tensor:
    """Which examples of `split` the model gets right, (N,) bool; no example is dropped."""
    return predict(model, split.x) == split.y


def accuracy_interval(
    correct: np.ndarray, resamples: int, seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """Bootstrap interval of the mean accuracy of models trained from several seeds.

    It covers both kinds of chance: another set of test examples, and other seeds. All models share
    one test set, so examples are resampled for all at once; what chance between seeds adds is
    `seed_errors`. With one seed the interval is over test examples only.

    Parameters
    ----------
    correct : (S, N) bool
        One row a seed, one column a test example.
    resamples : int
    seed : int
        Of the resampling.
    level : float
        Nominal coverage.

    Returns
    -------
    low, high : float in [0, 1]
    """
    seeds, examples = correct.shape
    generator = np.random.default_rng(seed)
    # Examples that equally many models get right are interchangeable: drawing how many of each
    # kind occur is drawing the examples, without an array of resamples × examples.
    kinds = np.bincount(correct.sum(0), minlength=seeds + 1) / examples
    drawn = generator.multinomial(examples, kinds, resamples)
    means = drawn @ np.arange(seeds + 1) / (seeds * examples)
    means = means + seed_errors(correct.mean(1), resamples, generator)
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail]).clip(0, 1)
    return float(low), float(high)
