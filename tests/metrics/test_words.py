"""Metrics of texts: what they leave undefined, and what absence and neighbourhood mean."""

import pytest
import torch
from torch.testing import assert_close

from pipeline.core.dataset import Dataset, patches, present
from pipeline.explanations.method import Background
from pipeline.explanations.senn import relevances
from pipeline.metrics.batches import predict
from pipeline.metrics.certified import jacobian_norm
from pipeline.metrics.evaluation import Protocol, evaluate_cells
from pipeline.metrics.removal import InputRemoval, leave_one_out, removal_of_concepts
from pipeline.metrics.stability import Box, Search, lipschitz_local_of_all, to_inputs
from pipeline.models.senn import Senn
from tests.metrics.data import EVALUATE, texts
from tests.models.textbook import WORDS

SENN = WORDS.senn(seed=1).eval()


@pytest.fixture
def data() -> Dataset:
    return texts()


def test_a_word_is_a_patch():
    assert patches((4, 2)).tolist() == [[0, 0], [1, 1], [2, 2], [3, 3]]


def test_absence_is_a_text_without_words(data):
    background = Background.of(data)
    assert torch.equal(background.baseline, torch.zeros(5, 3))
    removal = removal_of_concepts(SENN, background.baseline, torch.zeros(1, 5))
    assert isinstance(removal, InputRemoval) and removal.groups == 5


def test_removing_a_word_deletes_it(data):
    x = data.test.x[:20]
    target = predict(SENN, x)
    removal = removal_of_concepts(SENN, torch.zeros(5, 3), torch.zeros(1, 5))
    p = leave_one_out(removal, SENN, x, target)
    for index, (text, label) in enumerate(zip(x, target, strict=True)):
        words = text[present(text.unsqueeze(0)).flatten()]
        for place in range(len(words)):
            shorter = torch.zeros(5, 3)
            shorter[: len(words) - 1] = torch.cat([words[:place], words[place + 1 :]])
            expected = SENN(shorter.unsqueeze(0)).logits.softmax(1)[0, label]
            assert p[index, 1 + place].item() == pytest.approx(expected.item(), abs=1e-6)
        assert_close(p[index, 1 + len(words) :], p[index, :1].expand(5 - len(words)))


def test_attributions_are_pooled_over_a_words_numbers():
    removal, attributions = InputRemoval(torch.zeros(5, 3)), torch.randn(4, 5, 3)
    assert_close(removal.pool(attributions), attributions.sum(2))
    assert torch.equal(removal.pool(attributions.sum(2)), attributions.sum(2))


def test_the_box_moves_words_and_nothing_else(data):
    words = data.train.x[present(data.train.x).squeeze(2)]
    box = Box.around(data, 0.1)
    assert_close(box.half_width, 0.1 * words.std(0, unbiased=False).expand(5, 3))
    low, high = box.ends(data.test.x)
    is_there = present(data.test.x).expand(-1, 5, 3)
    assert (high > low)[is_there].all()
    assert (low[~is_there] == 0).all() and (high[~is_there] == 0).all()
    assert low.min() >= -1 and high.max() <= 1


def test_the_search_finds_no_more_than_the_derivative_allows_in_a_tiny_box(data):
    x = data.test.x[:10]
    target = predict(SENN, x)
    box = Box.around(data, 1e-4)
    search = Search(box, 1e-9, 30, 3)
    (found,) = lipschitz_local_of_all(
        [SENN], relevances, x, target.unsqueeze(0), to_inputs, search, exactly=True
    )
    exact = jacobian_norm(SENN, relevances, x, target, box)
    assert (found <= 1.001 * exact.double()).all()
    assert (found > 0.5 * exact.double()).all()


def undefined(model: Senn, data: Dataset) -> set[str]:
    row = evaluate_cells([model], Protocol.of(data, EVALUATE))[0]
    return {name for name, value in row.items() if value != value}


def test_concepts_that_are_another_word_in_every_text_are_not_compared(data):
    ends = ("", "_p95", "_max")
    assert undefined(SENN, data) == {
        *(f"lipschitz_{name}{end}" for name in ("discrete", "local") for end in ends),
        *(f"lipschitz_input_certified{end}" for end in ends),  # not known of recurrent layers
        *("reconstruction_mse", "concept_correlation", "concept_sparsity", "constant_concepts"),
    }
