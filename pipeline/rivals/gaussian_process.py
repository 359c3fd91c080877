"""Many Gaussian processes at once: what functions known at a few points may be elsewhere.

numpy in float64, of one instruction set on all processors (`core.portable`). The kernel needs
neither exponentials nor roots, which libraries round differently.
"""

import numpy as np

JITTER = 1e-6  # on the kernel's diagonal, in prior variances
LENGTHS = (0.2, 0.4, 0.8, 1.6, 3.2)  # length scales to choose from, over √dimensions


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
