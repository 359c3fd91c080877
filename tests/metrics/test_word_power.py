"""Explanatory power of explanations of texts, on a corpus whose topics single words tell."""

import numpy as np
import pytest
import torch

from pipeline.core.dataset import Dataset, Split, present
from pipeline.metrics.evaluation import Protocol, evaluate_cells
from pipeline.metrics.informativeness import embedded_documents, power_of_halves
from pipeline.metrics.word_power import (
    COMPARED,
    NO_MODEL,
    power_table,
    word_relevance,
    word_weights,
)
from pipeline.models.senn import Senn
from pipeline.models.words import RecurrentParameterizer, WordsConceptizer
from tests.metrics.data import EVALUATE

WORDS, SIZE, CLASSES, VOCABULARY = 6, 4, 3, 12


@pytest.fixture(scope="module")
def data() -> Dataset:
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.randn(VOCABULARY, SIZE, generator=generator)
    embeddings[0] = 0

    def split(count: int) -> Split:
        words = torch.randint(1, VOCABULARY, (count, WORDS), generator=generator)
        words[: count // 3, 4:] = 0
        return Split(embeddings[words], words[:, 0] % CLASSES, words)

    low, high = embeddings.aminmax(dim=0)
    vocabulary = ("", *"abcdefghijk")
    return Dataset(
        "texts", split(30), split(5), split(40), (), ("x", "y", "z"), 0.0, 1.0, low, high, "",
        vocabulary,
    )  # fmt: skip


@pytest.fixture(scope="module")
def model() -> Senn:
    torch.manual_seed(0)
    shape = (WORDS, SIZE)
    parameterizer = RecurrentParameterizer(shape, WORDS, CLASSES, 0.0, "gru", 5, True)
    return Senn(WordsConceptizer(shape, WORDS), parameterizer).eval().requires_grad_(False)


@pytest.mark.parametrize("name", COMPARED)
def test_every_word_has_a_relevance_and_what_is_no_word_has_none(name, model, data):
    x = data.test.x
    target = torch.arange(len(x)) % CLASSES
    relevance = word_relevance(name, model, data, x, target)
    assert relevance.shape == (40, WORDS) and relevance.isfinite().all()
    assert torch.equal(relevance != 0, present(x).squeeze(2))
    alone = torch.cat([word_relevance(name, model, data, x[[i]], target[[i]]) for i in range(5)])
    torch.testing.assert_close(relevance[:5], alone, rtol=1e-4, atol=1e-6)


def test_texts_are_evaluated_for_faithfulness_at_the_anchors(model, data):
    settings = EVALUATE.model_copy(update={"anchors": 9})
    protocol = Protocol.of(data, settings)
    correlations = []
    for x in protocol.anchors:
        is_word = present(x[None]).flatten()
        here = model(x[None])
        target = here.logits.argmax()
        without = x.repeat(WORDS, 1, 1)
        for word in range(WORDS):  # what follows moves up
            rest = torch.cat([x[:word], x[word + 1 :]])
            without[word] = torch.cat([rest, torch.zeros(1, SIZE)])
        drop = here.logits.softmax(1)[0, target] - model(without).logits.softmax(1)[:, target]
        relevance = here.relevances[0, :, target]  # padding counts nowhere
        correlations.append(np.corrcoef(relevance[is_word], drop[is_word])[0, 1])
    row = evaluate_cells([model], protocol)[0]
    assert row["faithfulness_relevance"] == pytest.approx(np.mean(correlations), abs=1e-4)


def test_occlusion_deletes_a_word(model, data):
    x = data.test.x[:3]
    target = model(x).logits.argmax(1)
    logit = model(x).logits.gather(1, target.unsqueeze(1)).squeeze(1)
    shorter = torch.cat([x[:, :1], x[:, 2:], torch.zeros(3, 1, SIZE)], 1)  # without word 1
    without = model(shorter).logits.gather(1, target.unsqueeze(1)).squeeze(1)
    drop = word_relevance("occlusion", model, data, x, target)[:, 1]
    torch.testing.assert_close(drop, logit - without, rtol=1e-4, atol=1e-5)


def test_integrated_gradients_start_at_words_without_content(model, data):
    x = data.test.x[:4]
    target = model(x).logits.argmax(1)
    difference = model(x).logits - model(1e-20 * x).logits
    expected = difference.gather(1, target.unsqueeze(1)).squeeze(1)
    sums = word_relevance("integrated_gradients", model, data, x, target).sum(1)
    torch.testing.assert_close(sums, expected, rtol=0, atol=1e-3)


def test_weights_that_know_no_model(data):
    x, words = data.test.x, data.test.words
    uniform, tf_idf = (word_weights(name, data, data.test) for name in NO_MODEL)
    assert torch.equal(uniform, present(x).squeeze(2).double())
    assert list(NO_MODEL) == ["uniform", "tf_idf"]
    seen = [set(document) for document in data.train.words.tolist()]
    for row, of_row in zip(words.tolist(), tf_idf.tolist(), strict=True):
        for word, weight in zip(row, of_row, strict=True):
            count = sum(word in document for document in seen)
            assert weight == pytest.approx(np.log(30 / count) if word else 0)


def test_the_first_word_tells_the_topic(data):
    """Weight on the word that decides beats uniform weights."""
    x, y = data.test.x, data.test.y
    first = torch.zeros(40, WORDS)
    first[:, 0] = 1
    best = power_of_halves(embedded_documents(x, first), y, (1,), 10).mean()
    uniform = word_weights("uniform", data, data.test)
    assert best > power_of_halves(embedded_documents(x, uniform), y, (1,), 10).mean() + 0.3


def test_table():
    one = {"embedding": [1.0, 0.0, 1.0, 1.0], "one_hot": [0.5, 0.5, 0.5, 0.5]}
    other = {"embedding": [1.0, 0.0, 0.0, 0.0], "one_hot": [0.5, 0.5, 0.5, 0.0]}
    measured = {"news": {"lrp_epsilon": [one, one], "uniform": [other, other]}}
    table = power_table(measured, resamples=100).set_index(["vectors", "weights"])
    assert table["power"].tolist() == [0.75, 0.25, 0.5, 0.375]
    assert table["behind"].tolist() == [0, 0.5, 0, 0.125]
    assert table["label"].tolist() == ["LRP-ε", "uniform weights"] * 2
    assert (table["seeds"] == 2).all() and (table["documents"] == 4).all()
    assert (table["behind_low"] <= table["behind"]).all()
    assert list(power_table({}, resamples=100)) == ["experiment", "vectors", "weights"]
