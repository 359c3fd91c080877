"""Black-box search: the largest values of many functions at once, by Bayesian optimisation.

The paper's tool for equation 5 where an explanation cannot be differentiated. scikit-optimize
proposes one point of one function at a time, which for hundreds of anchors takes hours; here all
functions are searched together, and every round evaluates several points of each. A Gaussian
process says what each function may be at random candidates, and those with the highest upper
confidence bound are evaluated next (Srinivas et al. 2010, "GP-UCB"; in batches, with the best
candidates of a round in place of the best one).

The processes are many at once, too: numpy in float64, of one instruction set on all processors
(`core.portable`). The kernel needs neither exponentials nor roots, which libraries round
differently.
"""

from collections.abc import Callable

import numpy as np

from pipeline.metrics.intervals import Z

Functions = Callable[[np.ndarray], np.ndarray]
"""Points (A, M, D) of the unit cube to values (A, M), of A functions."""

CANDIDATES = 100  # per function and round: half of them anywhere, half near the best point so far
NEAR = 0.1  # standard deviation of the latter, in sides of the cube
CAUTION = Z  # standard deviations of the confidence bound, scikit-optimize's κ
JITTER = 1e-6  # on the kernel's diagonal, in prior variances
LENGTHS = (0.2, 0.4, 0.8, 1.6, 3.2)  # length scales to choose from, over √dimensions


def maximise(
    functions: Functions, count: int, dimensions: int, evaluations: int, rounds: int
) -> np.ndarray:
    """The largest value met of each of `count` functions, (count,): a lower bound of its maximum.

    `evaluations` of each function, in so many `rounds`; those of the first are random. Draws have a
    fixed seed, and are the same for all functions that are compared.
    """
    generator = np.random.default_rng(0)
    batch = -(-evaluations // rounds)
    points = generator.random((count, batch, dimensions))
    values = functions(points)
    length = None
    while (left := evaluations - points.shape[1]) > 0:
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


def kernel(a: np.ndarray, b: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Rational quadratic kernel with α = 1: 1 / (1 + r² / 2ℓ²).

    Rasmussen & Williams 2006, equation 4.19; a mixture of Gaussian kernels of many lengths.

    Parameters
    ----------
    a, b : (A, N, D) and (A, M, D), points of A processes.
    length : (A,), the ℓ of each.

    Returns
    -------
    (A, N, M)
    """
    squared = (a * a).sum(2)[:, :, None] + (b * b).sum(2)[:, None, :] - 2 * a @ b.swapaxes(1, 2)
    return 1 / (1 + np.maximum(squared, 0) / (2 * np.square(length)[:, None, None]))


def posterior(
    points: np.ndarray, values: np.ndarray, asked: np.ndarray, length: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance at the points `asked`, given noiseless `values` (same source, eq. 2.25f.).

    The prior has mean 0 and variance 1.

    Parameters
    ----------
    points, values : (A, N, D) and (A, N), what is known of A functions.
    asked : (A, M, D)
    length : (A,), as for `kernel`.

    Returns
    -------
    (A, M) each
    """
    across = kernel(points, asked, length)
    known = np.concatenate([values[:, :, None], across], 2)
    solved = np.linalg.solve(_covariance(points, length), known)
    mean = (across * solved[:, :, :1]).sum(1)
    return mean, np.maximum(1 - (across * solved[:, :, 1:]).sum(1), 0)


def likeliest_length(points: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The length scale (A,), of `LENGTHS`, under which the values are likeliest (eq. 2.30).

    Parameters as for `posterior`.
    """
    lengths = np.array(LENGTHS) * points.shape[2] ** 0.5
    evidence = []
    for length in lengths:
        covariance = _covariance(points, np.full(len(points), length))
        solved = np.linalg.solve(covariance, values[:, :, None])[:, :, 0]
        evidence.append(-(values * solved).sum(1) - np.linalg.slogdet(covariance)[1])
    return lengths[np.argmax(evidence, axis=0)]


def _covariance(points: np.ndarray, length: np.ndarray) -> np.ndarray:
    return kernel(points, points, length) + JITTER * np.eye(points.shape[1])
