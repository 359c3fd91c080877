import math

import pandas as pd
import pytest
import torch
from torch import nn

from pipeline.core.dataset import Split
from pipeline.metrics.collapse import (
    balanced_accuracy,
    class_entropy,
    collapse_note,
    commonest_share,
    cross_entropy,
    cross_entropy_ratio,
    is_collapsed,
    selection,
)


class Given(nn.Module):
    """A model whose logits are its input."""

    def forward(self, x):
        return x


def split(probabilities: list[list[float]], labels: list[int]) -> Split:
    return Split(torch.tensor(probabilities).log(), torch.tensor(labels))


# Three of class 0, all got right; one of class 1, which is not; the prediction is always class 0.
ALWAYS_0 = split([[0.75, 0.25]] * 4, [0, 0, 0, 1])
# Two of three of class 0 and both of class 1 are right.
MOSTLY = split([[0.8, 0.2], [0.8, 0.2], [0.2, 0.8], [0.4, 0.6], [0.4, 0.6]], [0, 0, 0, 1, 1])


def test_the_best_constant_has_the_entropy_of_the_class_frequencies():
    entropy = -0.75 * math.log(0.75) - 0.25 * math.log(0.25)
    assert class_entropy(ALWAYS_0.y) == pytest.approx(entropy)
    assert cross_entropy(Given(), ALWAYS_0) == pytest.approx(entropy)
    assert cross_entropy_ratio(Given(), ALWAYS_0) == pytest.approx(1)
    assert balanced_accuracy(Given(), ALWAYS_0) == 0.5
    assert commonest_share(Given(), ALWAYS_0) == 1


def test_a_model_that_looks_at_its_input():
    expected = -(2 * math.log(0.8) + math.log(0.2) + 2 * math.log(0.6)) / 5
    assert cross_entropy(Given(), MOSTLY) == pytest.approx(expected)
    entropy = -0.6 * math.log(0.6) - 0.4 * math.log(0.4)
    assert cross_entropy_ratio(Given(), MOSTLY) == pytest.approx(expected / entropy)
    assert balanced_accuracy(Given(), MOSTLY) == pytest.approx((2 / 3 + 1) / 2)
    assert commonest_share(Given(), MOSTLY) == pytest.approx(3 / 5)


def test_one_class_has_no_entropy_to_compare_with():
    alone = split([[0.9, 0.1]], [0])
    assert class_entropy(alone.y) == 0
    assert math.isnan(cross_entropy_ratio(Given(), alone))


def test_a_model_has_collapsed_from_a_hundredth_below_the_best_constant():
    entropy = class_entropy(ALWAYS_0.y)
    assert is_collapsed(math.log(2), ALWAYS_0.y)  # a constant, not tuned to the frequencies
    assert is_collapsed(0.991 * entropy, ALWAYS_0.y)
    assert not is_collapsed(0.989 * entropy, ALWAYS_0.y)


def curve(*validations: tuple[float, float]) -> list[dict[str, float]]:
    names = ("valid_accuracy", "valid_classification")
    return [dict(zip(names, values, strict=True)) for values in validations]


def test_selection_is_told_from_the_last_validation():
    metadata = {"step": 30, "valid_accuracy": 0.7, "curve": curve((0.7, 0.2), (0.45, 0.6))}
    row = selection(metadata, ALWAYS_0)
    assert row == {
        "selected_step": 30,
        "valid_accuracy": 0.7,
        "valid_accuracy_last": 0.45,
        "selection_gain": pytest.approx(0.25),
        "collapsed": 1,
    }
    metadata["curve"] = curve((0.7, 0.6), (0.45, 0.2))
    assert selection(metadata, ALWAYS_0)["collapsed"] == 0


def test_the_note_counts_the_collapsed():
    cells = pd.DataFrame({"robust_reg": [1.0, 0.1, 0.01, 0.1], "collapsed": [1, 0, 0, 1]})
    assert collapse_note(cells[cells["collapsed"] == 0]) == ""
    note = collapse_note(cells)
    assert note.startswith("models collapsed in training (1 of 2 at λ = 0.1, 1 of 1 at λ = 1): ")
