"""How stages download and prepare the datasets of pipeline/core/params_choices.py."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pipeline.core.dataset import Prepared
from pipeline.core.errors import PipelineError
from pipeline.core.params_choices import DATASETS as FACTS
from pipeline.core.params_choices import collection_of, implementation
from pipeline.data.sources import RawFile


@dataclass(frozen=True)
class Recipe:
    """How a dataset is made.

    Attributes
    ----------
    files : function () -> tuple of RawFile
        The raw files it needs.
    prepare : function (folder of the raw files, split seed) -> Prepared
        Parses and splits them; deterministic.
    """

    files: Callable[[], tuple[RawFile, ...]]
    prepare: Callable[[Path, int], Prepared]


def _prepare(name: str, raw: Path, split_seed: int) -> Prepared:
    """Prepare a dataset, and check it against what pipeline/core/params_choices.py says of it.

    Raises
    ------
    PipelineError
        If they differ, or the raw files are not what they should be.
    """
    facts = FACTS[name]
    prepared: Prepared = implementation(facts.module).prepare(raw, split_seed)
    shape, classes = tuple(prepared.train.x.shape[1:]), len(prepared.class_names)
    for key, stated, actual in (
        ("input_shape", facts.input_shape, shape),
        ("classes", facts.classes, classes),
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
