"""Black-box search: the largest values of many functions at once, by Bayesian optimisation.

The paper's tool for equation 5 where an explanation cannot be differentiated. scikit-optimize
proposes one point of one function at a time, which for hundreds of anchors takes hours; here all
functions are searched together, and every round evaluates several points of each. A Gaussian
process (`gaussian_process`) says what each function may be at random candidates, and those with the
highest upper confidence bound are evaluated next (Srinivas et al. 2010, "GP-UCB"; in batches, with
the best candidates of a round in place of the best one).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from pipeline.metrics.intervals import Z
from pipeline.rivals.gaussian_process import likeliest_length, posterior

Functions = Callable[[np.ndarray], np.ndarray]
"""Points (A, M, D) of the unit cube to values (A, M), of A functions."""

CANDIDATES = 100  # per function and round: half of them anywhere, half near the best point so far
NEAR = 0.1  # standard deviation of the latter, in sides of the cube
CAUTION = Z  # standard deviations of the confidence bound, scikit-optimize's κ


class Budget(NamedTuple):
    """Evaluations of each function, in so many `rounds`; those of the first are random."""

    evaluations: int
    rounds: int


def maximise(functions: Functions, count: int, dimensions: int, budget: Budget) -> np.ndarray:
    """The largest value met of each of `count` functions, (count,): a lower bound of its maximum.

    Draws have a fixed seed, and are the same for all functions that are compared.
    """
    generator = np.random.default_rng(0)
    batch = -(-budget.evaluations // budget.rounds)
    points = generator.random((count, batch, dimensions))
    values = functions(points)
    length = None
    while (left := budget.evaluations - points.shape[1]) > 0:
        standard = _standardised(values)
        length = likeliest_length(points, standard) if length is None else length
        best = points[np.arange(count), values.argmax(1)]
        asked = _candidates(generator, best)
        mean, variance = posterior(points, standard, asked, length)
        bound = mean + CAUTION * np.sqrt(variance)
        chosen = np.argsort(-bound, axis=1, kind="stable")[:, : min(batch, left)]
        following = np.take_along_axis(asked, chosen[:, :, None], 1)
        points = np.concatenate([points, following], 1)
        values = np.concatenate([values, functions(following)], 1)
    return values.max(1)


def _standardised(values: np.ndarray) -> np.ndarray:
    """Values (A, N) of each function with mean 0 and deviation 1; of a constant one, 0."""
    deviation = values.std(1, keepdims=True)
    return (values - values.mean(1, keepdims=True)) / np.where(deviation > 0, deviation, 1)


def _candidates(generator: np.random.Generator, best: np.ndarray) -> np.ndarray:
    """Points (A, CANDIDATES, D): anywhere, and around the `best` (A, D)."""
    half = (len(best), CANDIDATES // 2, best.shape[1])
    near = best[:, None] + NEAR * generator.standard_normal(half)
    return np.concatenate([generator.random(half), near.clip(0, 1)], 1)
