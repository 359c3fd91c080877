"""A tokenizer on a language of three words, whose ends four characters tell."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score

from pipeline.core.errors import PipelineError
from pipeline.core.params import Compute
from pipeline.core.params import Tokenizer as Settings
from pipeline.explanations.relprop.composites import lrp_0
from pipeline.tokenizer.characters import encoded, unspaced, windows
from pipeline.tokenizer.model import Tokenizer, train
from pipeline.tokenizer.run import (
    Measured,
    boundary_f1,
    characters_holding,
    reach_holding,
    run_tokenizer,
    tokenizer_table,
)
from tests.training.grids import run_in_turn

SETTINGS = Settings(
    dataset="reuters_r8",
    documents=30,
    characters=12,
    hidden_size=8,
    epochs=6,
    batch_size=16,
    lr=0.05,
    seeds=(1, 2),
    examples=5,
)
RELEVANCE = torch.tensor(
    [
        [0.0, 0.0, 8.0, 1.0, -1.0, 0.0],  # 8 + 1 of 10
        [-1.0, 2.0, 3.0, -4.0, 0.0, 0.0],  # 4 + 3 + 2 of 10; all three at the right are needed
        [5.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    ]
)


def texts(count, seed):
    random = np.random.default_rng(seed)
    return [random.choice(["aab", "abc", "cbba"], size=40).tolist() for _ in range(count)]


@pytest.fixture(scope="module")
def measured():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.core.tasks.run_side_by_side", run_in_turn)
        return run_tokenizer(SETTINGS, texts(40, 0), texts(6, 1), Compute())


def test_texts_too_short_for_a_batch_are_refused():
    few = [["ab"] * 10]
    told = r"tokenizer.batch_size: must be ≤ 1, the pieces of 12 characters in 30 doc.*, got 16"
    with pytest.raises(PipelineError, match=told):
        run_tokenizer(SETTINGS, few, few, Compute())


def test_f1_by_hand():
    logits = torch.tensor([1.0, -1.0, 2.0, 3.0, -1.0])
    ends = torch.tensor([True, True, False, True, True])  # the last is the text's
    assert boundary_f1(logits, ends) == 2 * 2 / (2 * 2 + 1 + 1)
    nothing = torch.tensor([False, True])
    assert math.isnan(boundary_f1(torch.tensor([-1.0, 1.0]), nothing))
    assert boundary_f1(torch.tensor([1.0, 1.0]), nothing) == 0


def test_f1_is_scikit_learns():
    random = np.random.default_rng(0)
    logits, ends = random.normal(size=50), random.random(50) < 0.3
    expected = f1_score(ends[:-1], logits[:-1] > 0)
    assert boundary_f1(torch.tensor(logits), torch.tensor(ends)) == pytest.approx(expected)


def test_characters_and_reach_by_hand():
    assert characters_holding(RELEVANCE).tolist() == [2, 3, 1, 0]
    assert reach_holding(RELEVANCE).tolist() == [1, 2, 3, 0]
    assert characters_holding(RELEVANCE, 0.8).tolist() == [1, 3, 1, 0]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_tenths_of_equal_relevance(share):
    """0.9 of ten equal numbers is nine of them, whatever rounding says."""
    assert characters_holding(torch.full((1, 10), 0.1), share).tolist() == [round(10 * share)]


def test_it_learns_the_words(measured):
    for one in measured:
        assert one.f1.shape == (5,) and one.f1.min() > 0.95
        assert one.relevance.shape == (5, 12)


def test_layers_are_the_model_and_conserve_relevance_without_biases():
    model = Tokenizer(4, seed=0).double().requires_grad_(False)
    x = encoded([unspaced(words).characters for words in texts(2, 3)])[:, :9].double()
    torch.testing.assert_close(model.as_layers()(x), model(x))
    for name, parameter in model.named_parameters():
        if "bias" in name:
            parameter.zero_()
    places = torch.tensor([4, 7])
    relevance = lrp_0(model.as_layers(), x, places)
    logits = model(x).gather(1, places.unsqueeze(1)).squeeze(1)
    torch.testing.assert_close(relevance.sum((1, 2)), logits, rtol=1e-6, atol=1e-6)


def test_weights_depend_on_the_seed_alone():
    pieces = windows(map(unspaced, texts(30, 0)), 12)
    settings = SETTINGS.model_copy(update={"epochs": 1})
    one, again, other = (train(pieces, settings, seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(value, again[name]) for name, value in one.items())
    assert not torch.equal(one["last.weight"], other["last.weight"])


def test_table(measured):
    table = tokenizer_table(measured, resamples=200)
    alone = table[table["offset"].isna()].set_index("quantity")
    assert alone.index.tolist() == ["f1", "characters", "reach", "following"]
    assert alone.loc["f1", "value"] == pytest.approx(np.mean([one.f1 for one in measured]))
    profile = table[table["quantity"] == "relevance"]
    assert profile["offset"].tolist() == [*range(-6, 0), *range(1, 7)]
    assert profile["value"].sum() == pytest.approx(1)
    following = profile.loc[profile["offset"] > 0, "value"].sum()
    assert alone.loc["following", "value"] == pytest.approx(following)
    assert (table["value_low"] <= table["value"]).all()
    assert (table["value"] <= table["value_high"]).all()
    assert 1 <= alone.loc["reach", "value"] <= 6


def test_the_context_of_a_known_relevance():
    """All relevance in the two characters beside the boundary, 3 to 1; one text has none."""
    relevance = np.zeros((3, 4))
    relevance[:, 1], relevance[:, 2] = -3.0, 1.0
    relevance[2] = np.nan
    table = tokenizer_table([Measured(np.ones(3), relevance)] * 2, resamples=100)
    values = table.set_index(["quantity", "offset"])["value"]
    assert values.tolist() == [1, 2, 1, 0.25, 0, 0.75, 0.25, 0]
    assert table["undefined"].tolist() == [0, *[2] * 7]
