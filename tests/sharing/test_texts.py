"""Texts: what their files have, and how what their words say is shown."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch

from pipeline.core.dataset import load_dataset
from pipeline.core.errors import PipelineError
from pipeline.core.tensors import read_tensors, write_tensors
from pipeline.explain import load

TEXT = "Worda runs; WORDB <b>&WordC, 3 zebras"
WORDS = ("worda", "runs", "wordb", "b", "wordc", "zebras")
ESCAPES = re.compile(r"\x1b\[[\d;]*m")


@pytest.fixture
def why(models):
    return load("reuters_senn").explain(TEXT)


def test_the_file_has_all_that_it_takes(models, shared_run):
    file = models / "reuters_senn/reuters_senn.safetensors"
    tensors, metadata = read_tensors(file)
    data = load_dataset(shared_run / "data/prepared/reuters_r8")
    assert torch.equal(tensors["embeddings"], data.embeddings)
    assert metadata["facts"]["vocabulary"] == list(data.vocabulary)
    card = file.with_suffix(".md").read_text(encoding="utf-8")
    text = " ".join(data.vocabulary[place] for place in data.test.words[0])
    passage = max(text.split("<unknown>"), key=lambda part: len(part.split())).strip()
    assert f'reuters_senn --text "{passage}"' in card
    assert "a text of up to 6 words" in card
    assert f"{len(data.vocabulary) - 2} words, each with an embedding of 4 numbers" in card


def test_a_file_without_its_embeddings_is_refused(models, tmp_path):
    tensors, metadata = read_tensors(models / "reuters_senn/reuters_senn.safetensors")
    del tensors["embeddings"]
    write_tensors(tmp_path / "less.safetensors", tensors, metadata)
    with pytest.raises(PipelineError, match=r"less.safetensors: has 11 words, but embeddings of 0"):
        load(tmp_path / "less.safetensors")


def test_words_are_concepts_in_their_order(why, models):
    assert why.concept_names == why.feature_names == WORDS
    assert why.kind == "texts" and why.values == ()
    np.testing.assert_array_equal(why.concepts, np.ones(6))
    vocabulary = load("reuters_senn").facts.vocabulary
    places = [vocabulary.index(word) if word in vocabulary else 1 for word in WORDS]
    assert why.input.tolist() == places
    assert why.notes == ("Unknown words, which the model does not tell apart: runs, b, zebras.",)
    json.dumps(why.as_dict(), allow_nan=False)


def test_as_many_words_as_there_are(models):
    model = load("reuters_senn")
    short, long = model.explain("worda wordb"), model.explain("worda wordb " * 9)
    assert (len(short.contributions), len(long.contributions)) == (2, 6)
    assert sum(short.contributions) == pytest.approx(short.logits[short.target], abs=1e-5)


def test_the_strongest_words_are_listed(models):
    why = load("reuters_senn").explain(TEXT, "occlusion")
    text = str(why)
    assert "\x1b" not in text and max(map(len, text.splitlines())) <= 100
    for values in (why.contributions, why.contrast_contributions, why.attributions):
        for place, (word, value) in enumerate(zip(WORDS, values, strict=True), start=1):
            assert re.search(rf"^{word} +{place} +{_signed(value)}( |$)", text, re.MULTILINE)
    for name in (why.target, why.contrast):
        assert re.search(rf"^logit of {name} +{_signed(why.logits[name])}$", text, re.MULTILINE)
    assert f"for {why.contrast}, the runner-up" in text
    assert f"for {why.target}, by Occlusion" in text
    assert "- Unknown words" in text


def test_the_rest_is_added_up(models, monkeypatch):
    monkeypatch.setattr("pipeline.sharing.terminal._STRONGEST", 3)
    why = load("reuters_senn").explain(TEXT)
    rest = sorted(why.contributions, key=abs)[:3]
    assert re.search(rf"^3 more +{_signed(sum(rest))}$", str(why), re.MULTILINE)


def test_words_are_coloured_for_a_terminal(why):
    text = why.text(coloured=True)
    plain = ESCAPES.sub("", text)
    assert plain.count(" ".join(WORDS)) == 2  # for the prediction, and for the runner-up
    both = np.abs(np.stack([why.contributions, why.contrast_contributions]))
    strongest = WORDS[int(both.max(0).argmax())]
    assert re.search(rf"\x1b\[38;5;16;48;5;(33|202)m{strongest}\x1b\[0m", text)
    total = f"{why.logits[why.target]:+.2f}".replace("-", "−")
    assert f"for {why.target}: logit of {why.target} {total}" in plain


class _Page(HTMLParser):
    """Its tags, what they load, and the words of every paragraph of words."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.loaded, self.words, self.titles = [], [], [], []
        self._within = ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append(tag)
        self.loaded += [v for k, v in attributes.items() if k in ("src", "href")]
        if tag == "p":
            self._within = attributes.get("class", "")
            if self._within == "words":
                self.words.append([])
        if tag == "span":
            self.titles.append(attributes["title"])

    def handle_endtag(self, tag):
        if tag == "p":
            self._within = ""

    def handle_data(self, data):
        if self._within == "words":
            self.words[-1] += data.split()


def test_the_page_needs_nothing_else(models):
    why = load("reuters_senn").explain(TEXT, "occlusion")
    page = _Page(why.html())
    assert not page.loaded and not {"script", "link", "img"} & set(page.tags)
    assert page.words == [list(WORDS)] * 3
    assert len(page.titles) == 18
    assert "url(" not in why.html() and "@import" not in why.html()
    for title, value in zip(page.titles, why.contributions, strict=False):
        assert float(title.replace("−", "-")) == pytest.approx(value, rel=0.1)


def test_pages_are_for_texts(models):
    with pytest.raises(PipelineError, match=r"compas_senn: .*: coloured words are for texts"):
        load("compas_senn").explain({}).html()


def test_the_figure_has_the_strongest_words_in_their_order(why, monkeypatch):
    assert _labels(why.plot()) == list(WORDS)
    monkeypatch.setattr("pipeline.sharing.drawing._STRONGEST", 3)
    both = np.abs(np.stack([why.contributions, why.contrast_contributions])).max(0)
    figure = why.plot()
    assert _labels(figure) == [WORDS[i] for i in sorted(np.argsort(-both)[:3])]
    shown = [bar.get_width() for bar in figure.axes[1].patches]
    np.testing.assert_allclose(shown, why.contrast_contributions[sorted(np.argsort(-both)[:3])])


def _labels(figure):
    return [label.get_text() for label in figure.axes[0].get_yticklabels()]


def _signed(value):
    text = f"{value:+.2f}".replace("-", "−")
    return re.escape("0.00" if text in ("+0.00", "−0.00") else text)
