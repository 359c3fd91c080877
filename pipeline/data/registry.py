"""The datasets of pipeline/core/params_choices.py, as stages download and prepare them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pipeline.core.dataset import Prepared
from pipeline.core.errors import PipelineError
from pipeline.core.params_choices import DATASETS as FACTS
from pipeline.core.params_choices import implementation
from pipeline.data.sources import RawFile


@dataclass(frozen=True)
class Recipe:
    """How a dataset comes about.

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
    """What the dataset's module prepares, if it is what pipeline/core/params_choices.py says.

    Raises
    ------
    PipelineError
        If it is not, or the raw files are not what they should be.
    """
    facts = FACTS[name]
    prepared: Prepared = implementation(facts.module).prepare(raw, split_seed)
    shape, classes = tuple(prepared.train.x.shape[1:]), len(prepared.class_names)
    for what, said, found in (
        ("input_shape", facts.input_shape, shape),
        ("classes", facts.classes, classes),
        ("train", facts.train, len(prepared.train)),
    ):
        if said != found:
            raise PipelineError(
                f"pipeline/core/params_choices.py: DATASETS: {name}: {what}: must be {found}, "
                f"which {facts.module} prepares, got {said}"
            )
    return prepared


DATASETS = {
    name: Recipe(implementation(facts.module).files, partial(_prepare, name))
    for name, facts in FACTS.items()
}
