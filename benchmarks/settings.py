"""How much is measured: all of it, or a quick look."""

from dataclasses import dataclass
from typing import Literal

Probes = Literal["exact"] | int

PROBES: tuple[Probes, ...] = ("exact", 1)


@dataclass(frozen=True)
class Settings:
    """What a run of the benchmarks measures.

    rounds : measurements of the same thing, with others between them.
    seconds : that a measurement of steps lasts at least.
    widths : of banks, models.
    grids : cells of COMPAS grids, each trained whole; multiples of 5, the first is the reference.
    epochs : of those grids.
    textbook_runs : of the textbook's that are trained whole, to compare with the first of `grids`;
        where they are fewer than its cells, the rest is extrapolated.
    classes, concepts : of MNIST-SENN, to see how a step's cost grows; by banks of `growth_width`.
    """

    rounds: int = 2
    seconds: float = 2.0
    widths: tuple[int, ...] = (1, 5, 15, 50)
    grids: tuple[int, ...] = (15, 60, 250, 1000)
    epochs: int = 100
    textbook_runs: int = 15
    classes: tuple[int, ...] = (2, 5, 10, 20)
    concepts: tuple[int, ...] = (2, 5, 10, 20)
    growth_width: int = 5


FULL = Settings()
QUICK = Settings(
    rounds=1,
    seconds=0.5,
    widths=(1, 5),
    grids=(15, 60),
    epochs=10,
    textbook_runs=2,
    classes=(2, 10),
    concepts=(2, 10),
)
