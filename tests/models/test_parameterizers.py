import pytest
import torch

from pipeline.models.parameterizers import ConvParameterizer, MlpParameterizer
from tests.models.textbook import COLOURS, DIGITS, TABLE_7, random_batch


def test_conv_relevances_lie_between_minus_one_and_one():
    parameterizer = DIGITS.senn().parameterizer
    relevances = parameterizer(1e4 * random_batch(DIGITS, 50).float())
    assert -1 <= relevances.min() < -0.9 and 0.9 < relevances.max() <= 1


def test_mlp_relevances_are_not_bounded():
    relevances = TABLE_7.senn().parameterizer(1e4 * random_batch(TABLE_7).float())
    assert relevances.abs().max() > 1


@pytest.mark.parametrize(
    ("architecture", "shapes"),
    [
        (TABLE_7, [(6,)]),
        # channels of the last convolution as wholes, then units of every linear layer
        (DIGITS, [(4, 1, 1), (20,)]),
        (COLOURS, [(4, 1, 1), (6,), (12,)]),
    ],
    ids=["table", "digits", "colours"],
)
def test_inverted_dropout_masks(architecture, shapes):
    examples, p = 3_000, architecture.dropout
    masks = architecture.senn().parameterizer.draw_noise(examples, torch.Generator().manual_seed(0))
    assert [mask.shape for mask in masks] == [(examples, *shape) for shape in shapes]
    for mask in masks:
        # torch.nn.Dropout scales what it keeps in the same way: the mean stays 1.
        assert mask.unique().tolist() == pytest.approx([0, 1 / (1 - p)])
        error = (p / (1 - p) / mask.numel()) ** 0.5
        assert mask.mean().item() == pytest.approx(1, abs=5 * error)


def test_a_dropped_relevance_is_zero():
    # The published network drops relevances too, before its tanh.
    parameterizer, x = DIGITS.senn().parameterizer, random_batch(DIGITS, 64).float()
    masks = parameterizer.draw_noise(64, torch.Generator().manual_seed(0))
    relevances = parameterizer(x, masks).flatten(1)
    assert torch.equal(relevances == 0, masks[-1] == 0)


def test_no_dropout_in_the_mlps_last_layer():
    parameterizer, x = TABLE_7.senn().parameterizer, random_batch(TABLE_7, 64).float()
    masks = parameterizer.draw_noise(64, torch.Generator().manual_seed(0))
    assert (parameterizer(x, masks) != 0).all()


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((11,), r"need images \(channels, height, width\), got \(11,\)"),
        ((1, 28, 12), r"\(1, 28, 12\) are too small for 2 convolutions"),
    ],
)
def test_conv_says_what_does_not_fit(shape, message):
    with pytest.raises(ValueError, match=message):
        ConvParameterizer(shape, 5, 10, (4, 4), 5, (), 0.5)


def test_mlp_takes_any_input_shape():
    parameterizer = MlpParameterizer((2, 3, 4), 5, 3, (), 0.5)
    assert parameterizer(torch.randn(6, 2, 3, 4)).shape == (6, 5, 3)
    assert parameterizer.draw_noise(6, torch.Generator()) is None, "no units to drop"
