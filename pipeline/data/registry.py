"""How stages download and prepare the datasets of pipeline/core/params_choices.py."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.core.dataset import Prepared
from pipeline.core.errors import PipelineError
from pipeline.core.params import Texts
from pipeline.core.params_choices import DATASETS, TEXTS, collection_of, facts_of, implementation
from pipeline.data.scales import Scale
from pipeline.data.sources import RawFile


def collections() -> dict[str, list[str]]:
    """The datasets that are downloaded and prepared together, by collection."""
    together: dict[str, list[str]] = {}
    for name in DATASETS:
        together.setdefault(collection_of(name), []).append(name)
    return together


def files_of(collection: str) -> list[RawFile]:
    """The raw files of all datasets of `collection`."""
    return [file for name in collections()[collection] for file in _module(name).files()]


def prepare(name: str, raw: Path, split_seed: int, texts: Texts) -> Prepared:
    """A dataset from its raw files, checked against what pipeline/core/params_choices.py says.

    Deterministic. `raw` is the folder of the raw files, which must be verified already: what their
    SHA-256 says is not checked again. `split_seed` chooses the rows for training, validation and
    test.

    Raises
    ------
    PipelineError
        If they differ.
    """
    facts = facts_of(name, texts.input_shape)
    settings = (texts,) if DATASETS[name].input_shape == TEXTS else ()
    prepared: Prepared = _module(name).prepare(raw, split_seed, *settings)
    for key, stated, actual in (
        ("input_shape", facts.input_shape, prepared.input_shape),
        ("classes", facts.classes, len(prepared.class_names)),
        ("train", facts.train, len(prepared.train)),
        ("by_column", facts.by_column, isinstance(prepared.mean, tuple)),
    ):
        if stated != actual:
            raise PipelineError(
                f"pipeline/core/params_choices.py: DATASETS: {name}: {key}: must be {actual}, "
                f"which {facts.module} prepares, got {stated}"
            )
    return prepared


def plain_names(dataset: str, features: Sequence[str]) -> list[str]:
    """The features of a table in words, for people: ``Age_Above_FourtyFive``, "Age above 45".

    From ``PLAIN_NAMES`` of the dataset's module; where it has none, names without underscores.
    """
    known = getattr(_module(dataset), "PLAIN_NAMES", {})
    return [known.get(name, name.replace("_", " ")) for name in features]


def scales(dataset: str) -> dict[str, Scale]:
    """How features of a table are scaled, by name: ``SCALES`` of its module, or nothing."""
    return dict(getattr(_module(dataset), "SCALES", {}))


def caveat(dataset: str) -> str:
    """What everyone must know who uses a model of `dataset`: ``CAVEAT`` of its module, or nothing.

    Markdown, whole sentences.
    """
    return str(getattr(_module(dataset), "CAVEAT", ""))


def documents(dataset: str, raw: Path) -> tuple[list[list[str]], list[list[str]]]:
    """All texts of `dataset`, whose raw files are in `raw`: for training, and for testing."""
    training, held_out = _module(dataset).documents(raw)
    return training, held_out


def _module(dataset: str) -> Any:
    """What makes `dataset`; imported when the dataset is asked for."""
    return implementation(DATASETS[dataset].module)
