import pytest
import torch
from torch.testing import assert_close

from pipeline.models.words import RecurrentParameterizer, WordsConceptizer
from tests.models.textbook import TEXTS, WORDS, Architecture, random_batch


@pytest.fixture(params=TEXTS.values(), ids=TEXTS.keys())
def architecture(request) -> Architecture:
    return request.param


def test_output_is_the_textbooks(architecture):
    x = random_batch(architecture, 6)
    output, expected = architecture.senn()(x.float()), architecture.textbook()(x.float())
    assert_close(output[:4], expected[:4])


def test_concepts_are_the_words_there_are():
    x = random_batch(WORDS, 6)
    output = WORDS.senn().double()(x)
    assert torch.equal(output.concepts, (x != 0).any(2).double())
    assert not output.concepts.bool().all()
    assert (output.relevances[output.concepts == 0] == 0).all()
    assert_close(output.logits, output.relevances.sum(1))


def test_concepts_have_a_derivative_which_is_zero():
    x = random_batch(WORDS).requires_grad_()
    (gradient,) = torch.autograd.grad(WORDS.senn().double().conceptizer.encode(x).sum(), x)
    assert torch.equal(gradient, torch.zeros_like(x))


def test_neither_padding_nor_deleted_words_change_anything(architecture):
    x = random_batch(architecture, 6)
    words = architecture.input_shape[0] + 4
    longer = architecture.with_(input_shape=(words, 3), concepts=words)
    senn, other = architecture.senn().double(), longer.senn().double()
    there = torch.tensor([1, 2, 4, 5, 6])
    padded = x.new_zeros(6, words, 3).index_copy(1, there, x)
    output, expected = other(padded), senn(x)
    assert_close(output.logits, expected.logits)
    assert_close(output.relevances[:, there], expected.relevances)


def test_a_unit_is_dropped_at_all_words_alike():
    senn = WORDS.with_(dropout=0.5).senn()
    noise = senn.draw_noise(7, torch.Generator().manual_seed(0))
    (mask,) = noise.masks
    assert mask.shape == (7, 1, 4) and set(mask.unique().tolist()) == {0.0, 2.0}


@pytest.mark.parametrize("shape", [(7,), (1, 7, 7), (6, 3)])
def test_says_what_does_not_fit(shape):
    with pytest.raises(ValueError, match="num_concepts is 7"):
        WordsConceptizer(shape, 7)
    with pytest.raises(ValueError, match="num_concepts is 7"):
        RecurrentParameterizer(shape, 7, 2, 0.0, "gru", 4, False)
