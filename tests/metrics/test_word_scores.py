"""Scores of explanation methods on texts: words count, padding does not."""

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn
from torch.testing import assert_close

from pipeline.core.dataset import present
from pipeline.explanations.method import Background, ExplanationMethod
from pipeline.explanations.methods import METHODS, methods_on
from pipeline.explanations.perturbation import kernel_shap, lime
from pipeline.metrics.comparison import Examination, score
from pipeline.metrics.informativeness import relevance_weighted
from pipeline.metrics.scores import SCORES, MethodScores
from pipeline.metrics.word_power import per_word
from tests.metrics.data import EVALUATE, EXPLAIN, texts
from tests.models.textbook import WORDS

FEW = {"examples": 15, "costly_examples": 3, "curve_steps": 5, "lipschitz_neighbours": 1}
OF_TEXTS = EXPLAIN.model_copy(update=FEW)
ARCHITECTURE = WORDS.with_(bidirectional=True)


def examined(padding: int = 0) -> Examination:
    length = 5 + padding
    longer = ARCHITECTURE.with_(input_shape=(length, 3), concepts=length)
    model = longer.senn(seed=1).eval().requires_grad_(False)
    return Examination(model, texts(padding), OF_TEXTS, EVALUATE)


@pytest.fixture(scope="module")
def examination() -> Examination:
    return examined()


def cubes(model: nn.Module, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Some attributions of embeddings that have both signs, and 0 where there is no word."""
    return x**3 - 0.1 * x


def scored(examination: Examination) -> MethodScores:
    method = ExplanationMethod("m", "M", "gradient", "inputs", lambda _: cubes)
    return score(method, examination)


def each_text(examination: Examination):
    """Index, words (n, 3), attributions of words (n,) and predicted class of every example."""
    for index, (text, label) in enumerate(
        zip(examination.x, examination.target.tolist(), strict=True)
    ):
        words = text[present(text.unsqueeze(0)).flatten()]
        yield index, words, cubes(None, words, None).sum(1).tolist(), label


def probability(examination: Examination, words: list[torch.Tensor], label: int) -> float:
    """Of a text of these words and no others."""
    text = torch.zeros(5, 3)
    for place, word in enumerate(words):
        text[place] = word
    return float(examination.model(text.unsqueeze(0)).logits.softmax(1)[0, label])


def test_curves_delete_and_insert_words_one_by_one(examination):
    curves = scored(examination).curves
    lengths = set()
    for index, words, values, label in each_text(examination):
        ranked = sorted(range(len(words)), key=lambda place: -values[place])
        for point in range(6):
            count = round(len(words) * point / 5)
            first = set(ranked[:count])
            kept = [word for place, word in enumerate(words) if place not in first]
            added = [word for place, word in enumerate(words) if place in first]
            deletion, insertion = (curves[name][index][point] for name in ("deletion", "insertion"))
            assert deletion == pytest.approx(probability(examination, kept, label), abs=1e-6)
            assert insertion == pytest.approx(probability(examination, added, label), abs=1e-6)
        lengths.add(len(words))
    assert len(lengths) > 2


def test_faithfulness_and_randomisation_are_correlations_over_words(examination):
    values, curves = scored(examination).values, scored(examination).curves
    for index, words, attributions, label in each_text(examination):
        whole = probability(examination, list(words), label)
        drops = [
            whole - probability(examination, [*words[:place], *words[place + 1 :]], label)
            for place in range(len(words))
        ]
        expected = np.corrcoef(attributions, drops)[0, 1]
        assert values["faithfulness"][index] == pytest.approx(expected, abs=1e-3)
    gradient = METHODS["gradient_times_input"]
    curves = score(gradient, examination).curves["randomisation"]
    explain = gradient.build(examination.background)
    other = examination.randomised[-1]
    x, target = examination.x, examination.target
    before, after = (per_word(explain(m, x, target)).abs() for m in (examination.model, other))
    for index, words, *_ in each_text(examination):
        count = len(words)
        expected = spearmanr(before[index, :count], after[index, :count]).statistic
        assert curves[index][-1] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", [*methods_on("texts")])
def test_padding_changes_no_score(examination, name):
    longer = examined(padding=5)
    longer.noise = torch.nn.functional.pad(examination.noise, (0, 0, 0, 5))
    one, other = score(METHODS[name], examination).values, score(METHODS[name], longer).values
    # Points of the box, and orders of words, are drawn for all places together.
    drawn = {"lipschitz_local"} if name != "shapley_sampling" else set(SCORES)
    for kind in set(SCORES) - drawn:
        np.testing.assert_allclose(one[kind], other[kind], rtol=1e-3, atol=1e-4, err_msg=kind)
    complexity = np.array(other["complexity"])
    assert (complexity[~np.isnan(complexity)] <= 5).all()


def test_words_at_the_same_place_are_not_compared(examination):
    values = scored(examination).values
    assert np.isnan(values["lipschitz_discrete"]).all()
    assert not any(np.isnan(values[name]).all() for name in set(SCORES) - {"lipschitz_discrete"})


def test_a_text_is_the_weighted_sum_of_its_words(examination):
    x, weights = examination.x, torch.randn(15, 5)
    vectors = relevance_weighted(None, lambda *_: weights, x, examination.target, x)
    sums = np.einsum("nt,ntd->nd", weights.double(), x.double())
    np.testing.assert_allclose(vectors, sums / np.linalg.norm(sums, axis=1, keepdims=True))


def test_what_is_left_out_of_texts_says_nothing_new_of_words(examination):
    model, x, target = examination.model, examination.x, examination.target
    said = {
        name: per_word(METHODS[name].build(examination.background)(model, x, target))
        for name in ("relevance", "contribution", "pull_back", "lrp_epsilon", "lrp_epsilon_split")
    }
    assert_close(said["relevance"], said["contribution"])
    assert_close(said["lrp_epsilon_split"], said["lrp_epsilon"])
    assert not said["pull_back"].any()
    for kind in ("tables", "images"):
        assert methods_on(kind) == METHODS
    assert {"contribution", "lime", "lrp_epsilon"} < set(methods_on("texts")) < set(METHODS)


class BagOfWords(nn.Module):
    """Logits that are sums over words, each worth what it is wherever it stands."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 3, generator=torch.Generator().manual_seed(0)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x @ self.weight).sum(1)


@pytest.mark.parametrize("method", [lime, kernel_shap])
def test_surrogates_find_what_words_are_worth_to_a_linear_model(method):
    data, model = texts(), BagOfWords()
    x, target = data.test.x[:8], torch.arange(8) % 3
    found = per_word(method(model, x, target, Background.of(data).baseline))
    worth = (x @ model.weight).detach()[torch.arange(8), :, target]
    there = present(x).squeeze(2)
    assert not found[~there].any()
    for index in range(8):
        one, other = found[index, there[index]], worth[index, there[index]]
        assert one.argsort().tolist() == other.argsort().tolist()
        if method is kernel_shap:
            assert_close(one, other, rtol=1e-3, atol=1e-3)
