"""The train/valid/test split of a dataset, which all cells share."""

import numpy as np

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
        Size of the test part, and of the validation part of the rest: a share if below 1 (rounded
        up, as scikit-learn does), otherwise a number of rows.
    seed : int
        Determines the rows. The published code does not seed its split.

    Returns
    -------
    train, valid, test : ndarray of int
        Row numbers, ascending.

    Raises
    ------
    PipelineError
        If the rows cannot be split, for instance because a class has too few.
    """
    rest, test_rows = hold_out(np.arange(len(labels)), labels, test, seed)
    train_rows, valid_rows = hold_out(rest, labels, valid, seed)
    return np.sort(train_rows), np.sort(valid_rows), np.sort(test_rows)


def hold_out(
    rows: np.ndarray, labels: np.ndarray, size: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Some of `rows` without the part that is held out, and that part, in random order.

    Every class has the same share in both; sizes, seed and errors are as for `stratified_split`.
    """
    # Takes a second to import, which a download need not wait.
    from sklearn.model_selection import train_test_split

    try:
        rest, held_out = train_test_split(
            rows, test_size=size, random_state=seed, stratify=labels[rows]
        )
    except ValueError as error:
        raise PipelineError(f"cannot split {len(labels)} rows: {error}") from error
    return rest, held_out


def split_each_class(
    labels: np.ndarray, test: float, valid: float, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split the rows of every class alike, so that each part has all classes, however rare.

    Of each class, parts take the nearest whole number of rows to their share, and at least one.
    Parameters and result are as for `stratified_split`, but `test` and `valid` are shares of all
    rows.

    Raises
    ------
    PipelineError
        If a class has fewer rows than there are parts.
    """
    generator = np.random.default_rng(seed)
    parts: tuple[list[int], list[int], list[int]] = [], [], []
    for label in np.unique(labels):
        rows = generator.permutation(np.flatnonzero(labels == label))
        for_test, for_valid = (max(1, round(share * len(rows))) for share in (test, valid))
        if for_test + for_valid >= len(rows):
            raise PipelineError(f"cannot split the {len(rows)} rows of class {label} three ways")
        ends = (for_test, for_test + for_valid)
        for part, chosen in zip(parts, reversed(np.split(rows, ends)), strict=True):
            part.extend(chosen)
    train_rows, valid_rows, test_rows = (np.sort(part) for part in parts)
    return train_rows, valid_rows, test_rows
