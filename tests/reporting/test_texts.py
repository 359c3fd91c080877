"""Words are coloured by what they say, whatever they contain; numbers are those of the tables."""

import re

import numpy as np
import pandas as pd
import pytest

from pipeline.explanations.methods import METHODS, methods_on
from pipeline.metrics.scores import SCORES
from pipeline.metrics.word_power import COMPARED, label_of
from pipeline.reporting import method_scores, texts
from pipeline.reporting.display import Html, Picture, Prose
from pipeline.reporting.examples import Example
from pipeline.reporting.style import png

NAME = "reuters_senn"


def test_five_documents_each_explained_by_every_method(results):
    shown = [part for part in texts.documents(results) if isinstance(part, Html)]
    experiment = results.texts[NAME]
    assert len(shown) == texts.DOCUMENTS
    words = (experiment.data.test.words > 0).sum(1)
    for index, part in enumerate(shown):
        assert part.html.count("<span ") == int(words[index]) * 2 * len(COMPARED)
        for name in COMPARED:
            assert part.html.count(f"<small>{METHODS[name].label}, for topic") == 2
        assert part.text.startswith(f"Document {index + 1}: predicted topic ")


def test_colours_are_the_contributions_and_texts_are_escaped():
    values = np.array([[0.5, -1.0], [-0.25, 1.0]])
    shown = texts.document(1, ["a<b", "c"], example(), {texts.OWN: values, "lrp_0": values})
    assert shown.text.startswith("Document 1: predicted x, more than 99.9 %; true class x.")
    assert "a&lt;b" in shown.html and "a<b" not in shown.html
    titles = re.findall(r'title="([^"]*)"', shown.html)
    assert [float(title.replace("−", "-")) for title in titles] == 2 * [0.5, -1.0, -0.25, 1.0]
    assert "“c”" in shown.text


def test_power_is_drawn_by_rank(results):
    (picture,) = texts.power(results)
    assert isinstance(picture, Picture) and png(picture.figure)
    table = results.texts[NAME].power.query("vectors == 'embedding'")
    best = table.sort_values("power", ascending=False)["weights"]
    panel = picture.figure.axes[0]
    assert [text.get_text() for text in panel.get_yticklabels()] == list(map(label_of, best))


def test_methods_of_words_are_compared_on_all_that_is_defined(results):
    told, scatter, table, curves = method_scores.words(results)
    methods = methods_on("texts").values()
    assert len(table.header) == len(SCORES)  # "method" instead of the one that is undefined
    assert not any("test points" in name for name in table.header)
    assert [row[0] for row in table.rows] == [
        f"{m.label}{' ⊖' * m.by_removal}\nwords, n\u00a0=\u00a0{5 if m.is_costly else 50}"
        for m in methods
    ]
    last = [m.label for m in methods if m.family != "perturbation"][-1]
    assert f"explain words without removing any of them, **{last}** has" in told.markdown
    assert f"covers {len(methods)} methods and 50 test examples" in told.markdown
    assert (scatter.name, curves.name) == (f"methods_{NAME}", f"method_curves_{NAME}")
    assert png(scatter.figure) and png(curves.figure)


def test_the_tokenizer_in_words_and_in_a_figure(results):
    told, picture = texts.tokenizer(results)
    assert isinstance(told, Prose) and isinstance(picture, Picture)
    f1 = results.tokenizer.set_index("quantity").loc["f1", "value"]
    assert f"an F1 of {f1:.3f} (" in told.markdown
    bars = picture.figure.axes[0].patches
    shares = results.tokenizer.query("quantity == 'relevance'")["value"]
    assert [bar.get_height() for bar in bars] == pytest.approx(list(100 * shares))
    middles = [bar.get_x() + bar.get_width() / 2 for bar in bars]
    half = len(shares) // 2
    assert middles == pytest.approx(list(range(-half, half)))


def test_accuracy_stands_beside_a_linear_classifier(results):
    told, table, _ = texts.accuracy(results)
    linear = results.texts[NAME].linear
    assert f"gets {100 * linear.mean:.1f} %" in told.markdown
    assert [row[0] for row in table.rows] == ["0.01", "1"]


def test_a_run_without_texts(results, monkeypatch):
    monkeypatch.setattr(results, "texts", {})
    monkeypatch.setitem(vars(results), "tokenizer", pd.DataFrame({"quantity": []}))
    sections = texts.accuracy, texts.documents, texts.power, texts.tokenizer, method_scores.words
    for section in sections:
        (only,) = section(results)
        assert isinstance(only, Prose)


def example() -> Example:
    ones = np.ones(2)
    return Example(ones, "x", "x", "y", 0.9996, ones, ones, ones, ones)
