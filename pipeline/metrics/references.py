r"""References for accuracies: two trivial classifiers, and when only a constant one is left.

The paper's loss is 0 for logits that are homogeneous of degree one in the concepts: then θ = ∇ₕf
has θᵀh = f (Euler), and its residual Σ_k h_k ∇θ_kc vanishes. A linear classifier, θ constant, is
one of them, so on a table no λ need cost more than a linear classifier does.

The review's loss on tables compares one gradient g with the relevances of all classes:

    Σ_c ‖g − θ_c‖² = C ‖g − θ̄‖² + Σ_c ‖θ_c − θ̄‖²,  θ̄ the mean over classes.

The last term is 0 only if all classes have the same relevances, that is if the prediction does not
depend on x. Cross-entropy is convex in Δ_c = θ_c − θ̄; at Δ = 0 its gradient with respect to
Δ(x_b), of one of B examples, is (1/C − [y_b = c]) x_b / B, of norm √(1 − 1/C) ‖x_b‖ / B. So a
constant classifier is the optimum wherever λ times the norm of Δ outweighs this: for
``batch``, one norm over all examples, from λ = √(1 − 1/C) · rms ‖x_b‖ / √B; for ``example``, a mean
of norms, from √(1 − 1/C) · max ‖x_b‖.
"""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.core.dataset import Dataset, Split
from pipeline.core.params import Experiment
from pipeline.core.params_types import Reduction

REFERENCES = ("majority_accuracy", "linear_accuracy", "constant_from_batch",
              "constant_from_example")  # fmt: skip


def references(experiment: Experiment, data: Dataset) -> dict[str, float]:
    """All `REFERENCES` for raw features; for learned concepts `majority_accuracy` alone."""
    numbers = {"majority_accuracy": majority_accuracy(data)}
    if experiment.conceptizer.name == "identity":
        x, classes, size = data.train.x, experiment.num_classes, experiment.batch_size
        numbers |= {
            "linear_accuracy": linear_accuracy(data),
            "constant_from_batch": constant_from(x, classes, size, "batch"),
            "constant_from_example": constant_from(x, classes, size, "example"),
        }
    return numbers


def majority_accuracy(data: Dataset) -> float:
    """Test accuracy of always answering the commonest class of the training data."""
    commonest = data.train.y.bincount(minlength=len(data.class_names)).argmax()
    return float((data.test.y == commonest).double().mean())


def linear_accuracy(data: Dataset) -> float:
    """Test accuracy of a SENN with constant θ: logistic regression, no intercept.

    Of texts θ is the same wherever a word occurs, that is a linear classifier of how often each
    word does. There are more words than it takes to tell the training documents apart, so it is
    penalised: half the squared norm of θ is added to the sum of their cross-entropies. Of a table
    whose classes a plane separates there is no optimum: θ is where the optimiser stops.
    """
    from sklearn.linear_model import LogisticRegression

    is_text = data.kind == "texts"
    x, test_x = (
        _word_counts(split, len(data.vocabulary)) if is_text else split.x.double().cpu().numpy()
        for split in (data.train, data.test)
    )
    strength = 1.0 if is_text else np.inf
    model = LogisticRegression(C=strength, fit_intercept=False, tol=1e-8, max_iter=10_000)
    model.fit(x, data.train.y.cpu().numpy())
    return float(model.score(test_x, data.test.y.cpu().numpy()))


def _word_counts(split: Split, words: int) -> Any:
    """How often each word of the vocabulary occurs in each text, (N, words), sparse."""
    from scipy import sparse

    assert split.words is not None
    words_of = split.words.cpu()
    rows, columns = words_of.nonzero(as_tuple=True)  # the first stands for no word
    of_words = words_of[rows, columns]
    ones = np.ones(len(rows))
    return sparse.csr_array((ones, (rows.numpy(), of_words.numpy())), (len(split), words))


def constant_from(x: Tensor, classes: int, batch_size: int, reduction: Reduction) -> float:
    """λ from which the review's loss on a table x (N, d) makes a constant classifier the optimum.

    Under ``batch`` for batches with the rms ‖x‖ of all of x.
    """
    norms = torch.linalg.vector_norm(x.double(), dim=1)
    slope = math.sqrt(1 - 1 / classes)
    if reduction == "batch":
        return slope * math.sqrt(float(norms.square().mean()) / batch_size)
    return slope * float(norms.max())
