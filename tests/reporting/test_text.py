import numpy as np
import pytest

from pipeline.metrics.word_power import COMPARED
from pipeline.reporting import text
from pipeline.reporting.display import Folded, Picture, Prose, Table, Words
from tests.reporting.test_sections import experiments, shown


def test_the_same_documents_by_every_method(run):
    section = text.words(run())
    by_lrp, others = shown(section, Words), shown(section, Folded)
    assert len(others) == text.DOCUMENTS and len(by_lrp) == 2 * text.DOCUMENTS
    for document, folded in enumerate(others):
        first, runner_up = by_lrp[2 * document : 2 * document + 2]
        assert first.heading.startswith("LRP-ε, for the predicted class")
        assert runner_up.heading.startswith("LRP-ε, for the runner-up")
        assert len(folded.texts) == 2 * (len(COMPARED) - 1)
        for one in (runner_up, *folded.texts):
            assert one.words == first.words
            assert max(map(abs, one.weights)) == pytest.approx(1)
        assert set("".join(first.words)) <= set("wordabcdefghij")


def test_words_are_escaped_and_coloured():
    html = Words("a < b", ["x&y", "z"], [1.0, -0.25]).html()
    assert "a &lt; b" in html and "x&amp;y" in html
    assert "rgba(0,114,178,0.60)" in html and "rgba(213,94,0,0.15)" in html


def test_power(run):
    (table,) = shown(text.power(run()), Table)
    assert table.header == ("weights", "embeddings", "one-hot vectors")
    assert table.best == {(0, 1), (0, 2)}
    assert [row[0] for row in table.rows][:2] == ["LRP-ε", "Squared sensitivity"]


def test_tokenizer(run):
    section = text.tokenizer(run())
    (prose,), (picture,) = shown(section, Prose), shown(section, Picture)
    assert "2 networks, 20 held-out texts of reuters_r8: boundary F1 85.0" in prose.markdown
    # Halving with every character: 1 - 2⁻ʳ ≥ 0.9 from r = 4 on.
    assert picture.alt.startswith("Either side, 4.0 characters hold")
    bars = picture.figure.axes[0].patches
    assert np.isclose(sum(bar.get_height() for bar in bars), 1)


def test_without_texts(run):
    results = run(experiments=experiments("compas_senn", "mnist_disenn"))
    for section in (text.words(results), text.power(results)):
        (prose,) = section.parts
        assert prose.markdown == "This run has no texts."
