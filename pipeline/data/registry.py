"""How stages download and prepare the datasets of pipeline/core/params_choices.py."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pipeline.core.dataset import Prepared
from pipeline.core.errors import PipelineError
from pipeline.core.params import Texts
from pipeline.core.params_choices import DATASETS as FACTS
from pipeline.core.params_choices import TEXTS, collection_of, facts_of, implementation
from pipeline.data.scales import Scale
from pipeline.data.sources import RawFile


@dataclass(frozen=True)
class Recipe:
    """How a dataset is made.

    Attributes
    ----------
    files : function () -> tuple of RawFile
        The raw files it needs.
    prepare : function (folder of the raw files, split seed, section `texts`) -> Prepared
        Parses and splits them; deterministic.
    """

    files: Callable[[], tuple[RawFile, ...]]
    prepare: Callable[[Path, int, Texts], Prepared]


def _prepare(name: str, raw: Path, split_seed: int, texts: Texts) -> Prepared:
    """Prepare a dataset, and check it against what pipeline/core/params_choices.py says of it.

    Raises
    ------
    PipelineError
        If they differ, or the raw files are not what they should be.
    """
    facts = facts_of(name, texts.input_shape)
    settings = (texts,) if FACTS[name].input_shape == TEXTS else ()
    prepared: Prepared = implementation(facts.module).prepare(raw, split_seed, *settings)
    for key, stated, actual in (
        ("input_shape", facts.input_shape, prepared.input_shape),
        ("classes", facts.classes, len(prepared.class_names)),
        ("train", facts.train, len(prepared.train)),
    ):
        if stated != actual:
            raise PipelineError(
                f"pipeline/core/params_choices.py: DATASETS: {name}: {key}: must be {actual}, "
                f"which {facts.module} prepares, got {stated}"
            )
    return prepared


def _files(name: str) -> tuple[RawFile, ...]:
    files: tuple[RawFile, ...] = implementation(FACTS[name].module).files()
    return files


def plain_names(dataset: str, features: Sequence[str]) -> list[str]:
    """The features of a table in words, for people: ``Age_Above_FourtyFive``, "Age above 45".

    From ``PLAIN_NAMES`` of the dataset's module; where it has none, names without underscores.
    """
    known = getattr(implementation(FACTS[dataset].module), "PLAIN_NAMES", {})
    return [known.get(name, name.replace("_", " ")) for name in features]


def scales(dataset: str) -> dict[str, Scale]:
    """How features of a table are scaled, by name: ``SCALES`` of its module, or nothing."""
    return dict(getattr(implementation(FACTS[dataset].module), "SCALES", {}))


def caveat(dataset: str) -> str:
    """What everyone must know who uses a model of `dataset`: ``CAVEAT`` of its module, or nothing.

    Markdown, whole sentences.
    """
    return str(getattr(implementation(FACTS[dataset].module), "CAVEAT", ""))


def documents(dataset: str, raw: Path) -> tuple[list[list[str]], list[list[str]]]:
    """All texts of `dataset` for training, and all for testing, word by word.

    Parameters
    ----------
    raw : folder of its raw files.

    Raises
    ------
    PipelineError
        If a raw file is missing or not as it was published.
    """
    training, held_out = implementation(FACTS[dataset].module).documents(raw)
    return training, held_out


# A dataset's module is imported when the dataset is asked for.
DATASETS = {name: Recipe(partial(_files, name), partial(_prepare, name)) for name in FACTS}


def collections() -> dict[str, dict[str, Recipe]]:
    """The datasets that are downloaded and prepared together: recipe by name, by collection."""
    together: dict[str, dict[str, Recipe]] = {}
    for name, recipe in DATASETS.items():
        together.setdefault(collection_of(name), {})[name] = recipe
    return together


def files_of(recipes: Iterable[Recipe]) -> list[RawFile]:
    """The raw files of all `recipes`."""
    return [file for recipe in recipes for file in recipe.files()]
