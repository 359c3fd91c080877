from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.model_selection import train_test_split

from pipeline.core.dataset import Dataset, Prepared, load_dataset, present, save_dataset
from pipeline.core.errors import PipelineError
from pipeline.core.params import Texts
from pipeline.data.registry import prepare
from pipeline.data.sources import RawFile
from pipeline.data.texts import NO_WORD, RESERVED, UNKNOWN, Corpus, choose_vocabulary, embed, read

TEXTS = Texts(vocabulary=3000, min_count=2, max_length=40, embedding_size=64)
# As A. Cardoso-Cachopo counts them, http://ana.cachopo.org/datasets-for-single-label-text-categorization
TOPICS = {
    "acq": (1596, 696), "crude": (253, 121), "earn": (2840, 1083), "grain": (41, 10),
    "interest": (190, 81), "money-fx": (206, 87), "ship": (108, 36), "trade": (251, 75),
}  # fmt: skip
HEADER = "Category\tText\nd\tstring\nclass\t\n\n"


@pytest.fixture(scope="module")
def reuters(raw_data) -> Prepared:
    return prepare("reuters_r8", raw_data("reuters_r8"), 0, TEXTS)


@pytest.fixture(scope="module")
def data(reuters, tmp_path_factory) -> Dataset:
    folder = tmp_path_factory.mktemp("reuters")
    save_dataset(folder, reuters)
    return load_dataset(folder)


def test_the_published_documents(raw_data, data):
    counts = [Counter(read(raw_data("reuters_r8") / f"reuters-r8-{part}.tab")[1])
              for part in ("train", "test")]  # fmt: skip
    assert {topic: tuple(count[topic] for count in counts) for topic in counts[0]} == TOPICS
    assert data.class_names == tuple(TOPICS)
    assert data.test.y.bincount().tolist() == [test for _, test in TOPICS.values()]
    together = data.train.y.bincount() + data.valid.y.bincount()
    assert together.tolist() == [train for train, _ in TOPICS.values()]


def test_documents_are_sequences_of_embeddings(raw_data, data, reuters):
    assert data.kind == "texts" and data.input_shape == (40, 64) == reuters.input_shape
    documents, topics = read(raw_data("reuters_r8") / "reuters-r8-train.tab")
    rows, _ = train_test_split(
        np.arange(len(topics)), test_size=0.1, random_state=0, stratify=topics
    )
    for row, words, x in zip(sorted(rows)[:50], data.train.words, data.train.x, strict=False):
        expected = documents[row][:40]
        shown = [data.vocabulary[place] for place in words[: len(expected)]]
        assert all(a == b for a, b in zip(shown, expected, strict=True) if a != "<unknown>")
        unknown = {b for a, b in zip(shown, expected, strict=True) if a == "<unknown>"}
        assert not unknown & set(data.vocabulary)
        assert (words[len(expected) :] == NO_WORD).all()
        assert torch.equal(x, reuters.embeddings[words])
    there = present(data.test.x).squeeze(2)
    assert torch.equal(there, data.test.words != NO_WORD)


def test_embeddings_have_one_length_and_say_what_goes_together(reuters):
    embeddings = reuters.embeddings
    assert (embeddings[NO_WORD] == 0).all()
    lengths = torch.linalg.vector_norm(embeddings[UNKNOWN:], dim=1)
    torch.testing.assert_close(lengths, torch.full_like(lengths, 8.0))  # √64

    def alike(a: str, b: str) -> float:
        places = [reuters.vocabulary.index(word) for word in (a, b)]
        return float(embeddings[places[0]] @ embeddings[places[1]]) / 64

    for a, b, other in (("oil", "crude", "shr"), ("dollar", "bank", "shr")):
        assert alike(a, b) > alike(a, other) + 0.2


def test_embeddings_are_a_correspondence_analysis():
    """Against a dense singular value decomposition, up to signs of axes: distances are the same."""
    generator = np.random.default_rng(0)
    popular = generator.integers(1, 12, (60, 9)) * (generator.random((60, 9)) < 0.6)
    places = np.where(popular == 7, NO_WORD, popular)  # word 7 is in no document
    counts = np.stack([(places == word).sum(1) for word in range(12)]).astype(float)
    counts[NO_WORD] = 0
    sums, lengths = counts.sum(1), counts.sum(0)
    scaled = counts / np.sqrt(np.maximum(sums, 1))[:, None] / np.sqrt(np.maximum(lengths, 1))
    left, values, _ = np.linalg.svd(scaled, full_matrices=False)
    assert values[0] == pytest.approx(1)  # as in every correspondence analysis
    coordinates = (left * values)[:, :4]
    there = sums > 0
    expected = coordinates[there] / np.linalg.norm(coordinates[there], axis=1, keepdims=True)
    found = embed(places, 12, 4).double().numpy()
    assert np.allclose(found[there] @ found[there].T, 4 * expected @ expected.T, atol=1e-5)
    assert (found[NO_WORD] == 0).all()
    mean = coordinates[there].mean(0)
    towards = 4 * expected @ mean / np.linalg.norm(mean)
    assert np.allclose(found[there] @ found[7], towards, atol=1e-5)


def test_vocabulary_is_of_the_most_frequent_words():
    documents = [["b", "a", "b", "c"], ["c", "d", "a", "e", "e"]]
    most = Texts(vocabulary=3, min_count=1, max_length=9, embedding_size=1)
    assert choose_vocabulary(documents, most) == (*RESERVED, "a", "b", "c")
    often = Texts(vocabulary=9, min_count=2, max_length=9, embedding_size=1)
    assert choose_vocabulary(documents, often) == (*RESERVED, "a", "b", "c", "e")


# --- made-up documents -------------------------------------------------------------------------

SMALL = Texts(vocabulary=6, min_count=1, max_length=4, embedding_size=2)


def corpus(folder: Path, train: str, test: str) -> Corpus:
    for name, content in (("train.tab", train), ("test.tab", test)):
        (folder / name).write_text(HEADER + content, encoding="utf-8")
    return Corpus("small", RawFile("train.tab", ""), RawFile("test.tab", ""))


def documents(topics: str, text: str) -> str:
    return "".join(f"{topic}\t{text}\n" for topic in topics)


def test_validation_documents_have_no_part_in_the_vocabulary(tmp_path):
    lines = "".join(
        f"{topic}\tword{chr(97 + i)} common shared\n" for i, topic in enumerate("xy" * 10)
    )
    small = corpus(tmp_path, lines, documents("xy", "common wordnew"))
    prepared = small.prepare(tmp_path, 0, SMALL.model_copy(update={"vocabulary": 99}))
    assert len(prepared.train) == 18 and len(prepared.valid) == 2
    assert len(prepared.vocabulary) == len(RESERVED) + 2 + 18
    assert (prepared.valid.x[:, 0] == UNKNOWN).all()
    assert [prepared.vocabulary[i] for i in prepared.test.x[0]] == ["common", "<unknown>", "", ""]


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        (documents("xyy", "a b"), "x\ta\n", r"cannot split 3 rows"),
        (
            documents("xyxyxyxyxyxyxyxyxyxy", "a"),
            "x\ta\n",
            r"params\.yaml: texts\.embedding_size: must be < 3, .* got 3",
        ),
    ],
)
def test_says_what_is_wrong(tmp_path, train, test, message):
    small = corpus(tmp_path, train, test)
    with pytest.raises(PipelineError, match=message):
        small.prepare(tmp_path, 0, SMALL.model_copy(update={"embedding_size": 3}))
