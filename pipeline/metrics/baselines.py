r"""What an accuracy stands beside: the constant classifier, and the linear one.

The first half says whether a model learned anything from its inputs, and what selecting its weights
gained; the second has the accuracies of two trivial classifiers, and the λ from which a constant
one is the optimum.

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
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.core.dataset import Dataset, Split
from pipeline.core.params import Experiment
from pipeline.core.params_types import Reduction
from pipeline.metrics.batches import all_logits, predict
from pipeline.models.senn import Senn

REFERENCES = ("majority_accuracy", "linear_accuracy", "constant_from_batch",
              "constant_from_example")  # fmt: skip

# A constant prediction does no better than the entropy of the class frequencies, and one that is
# not even tuned to them does worse. A hundredth is more than the noise of a validation, and far
# less than what the weakest model that learned something gains.
COLLAPSED_FROM = 0.99


def is_collapsed(cross_entropy: float, labels: Tensor) -> bool:
    """The rule: cross-entropy is at least 99 % of the entropy of the class frequencies.

    It is asked of the *last* validation. The weights kept are, as published, the best of many
    validations on accuracy; once a model predicts almost a constant, its accuracy wanders by tens
    of points from one validation to the next, and the best of them looks like learning.
    Cross-entropy does not wander, and says what training ended in.

    Parameters
    ----------
    cross_entropy : mean over the validation split, in nats.
    labels : of the validation split, (N,).
    """
    return cross_entropy >= COLLAPSED_FROM * class_entropy(labels)


def class_entropy(labels: Tensor) -> float:
    """Entropy of the frequencies of `labels` (N,), in nats: the best constant's cross-entropy."""
    shares = labels.bincount().double() / len(labels)
    return float(torch.special.entr(shares).sum())


def cross_entropy(model: Senn, split: Split) -> float:
    """Mean cross-entropy of `model` on `split`, in nats."""
    return float(F.cross_entropy(all_logits(model, split.x).double(), split.y))


def cross_entropy_ratio(model: Senn, split: Split) -> float:
    """`cross_entropy` over `class_entropy`, 1 for the best constant; NaN if there is one class."""
    entropy = class_entropy(split.y)
    return cross_entropy(model, split) / entropy if entropy > 0 else torch.nan


def balanced_accuracy(model: Senn, split: Split) -> float:
    """Mean over the classes in `split` of the share of their examples classified correctly."""
    predicted = predict(model, split.x)
    right = (predicted == split.y).double()
    return float(torch.stack([right[split.y == label].mean() for label in split.y.unique()]).mean())


def commonest_share(model: Senn, split: Split) -> float:
    """Share of the examples for which `model` predicts the class that it predicts most."""
    return float(predict(model, split.x).bincount().max()) / len(split)


def selection(metadata: Mapping[str, Any], valid: Split) -> dict[str, float | int]:
    """What a cell's training curve says of the selection of its weights.

    Parameters
    ----------
    metadata : of the cell's file: `step`, `valid_accuracy` and `curve`.
    valid : the validation split.

    Returns
    -------
    selected_step; valid_accuracy of the selected weights, valid_accuracy_last of the last ones, and
    selection_gain, the first less the second; collapsed, 1 by `is_collapsed`, else 0.
    """
    last = metadata["curve"][-1]
    return {
        "selected_step": metadata["step"],
        "valid_accuracy": metadata["valid_accuracy"],
        "valid_accuracy_last": last["valid_accuracy"],
        "selection_gain": metadata["valid_accuracy"] - last["valid_accuracy"],
        "collapsed": int(is_collapsed(last["valid_classification"], valid.y)),
    }


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
