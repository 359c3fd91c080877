"""The one split of a dataset that all cells share."""

import numpy as np
from sklearn.model_selection import train_test_split

from pipeline.core.errors import PipelineError


def stratified_split(
    labels: np.ndarray, test: float, valid: float, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split rows so that every class has the same share in each part.

    Parameters
    ----------
    labels : ndarray (N,)
        Class of each row.
    test, valid : float or int
        Size of the test part, then of the validation part of what remains: below 1 a share
        (rounded up, as scikit-learn does), else a number of rows.
    seed : int
        The rows chosen follow from it alone. The published code does not seed its split.

    Returns
    -------
    train, valid, test : ndarray of int
        Row numbers, ascending.

    Raises
    ------
    PipelineError
        If the rows cannot be split so, for instance because a class has too few.
    """
    rows = np.arange(len(labels))
    try:
        rest, test_rows = train_test_split(rows, test_size=test, random_state=seed, stratify=labels)
        train_rows, valid_rows = train_test_split(
            rest, test_size=valid, random_state=seed, stratify=labels[rest]
        )
    except ValueError as error:
        raise PipelineError(f"cannot split {len(labels)} rows: {error}") from error
    return np.sort(train_rows), np.sort(valid_rows), np.sort(test_rows)
