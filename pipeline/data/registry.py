"""The table of datasets: what each needs and how it is made.

A new dataset is one module with two functions like those below, and one line here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipeline.data import compas, mnist
from pipeline.data.dataset import Prepared
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


DATASETS: dict[str, Recipe] = {
    "compas": Recipe(compas.files, compas.prepare),
    "mnist_5k": Recipe(mnist.small_files, mnist.prepare_small),
    "mnist": Recipe(mnist.files, mnist.prepare),
}
