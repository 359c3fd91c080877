"""What sections of the report share: parts per experiment, the metric table, examples, images."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import wraps
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from pipeline.claims import wording
from pipeline.claims.results import ExperimentResults, Results
from pipeline.core.dataset import Dataset
from pipeline.metrics.intervals import Interval, accuracy_interval
from pipeline.models.conceptizers import VaeConceptizer
from pipeline.reporting import style
from pipeline.reporting.display import Part, Prose, Table

_Section: TypeAlias = Callable[[Results], list[Part]]
_Show: TypeAlias = Callable[[ExperimentResults], Iterable[Part]]

SHARES = ("accuracy", "balanced_accuracy", "commonest_share", "selection_gain")  # in per cent
LOWER, EXACT, CERTIFIED = (f"lipschitz_input_{name}" for name in ("lower", "exact", "certified"))


def section(otherwise: str) -> Callable[[Callable[[Results], Iterable[Part]]], _Section]:
    """Let a section say `otherwise` if it has nothing to show."""

    def decorate(show: Callable[[Results], Iterable[Part]]) -> _Section:
        @wraps(show)
        def shown(results: Results) -> list[Part]:
            return list(show(results)) or [Prose(otherwise)]

        return shown

    return decorate


def per_experiment(otherwise: str = "This run has no experiments.") -> Callable[[_Show], _Section]:
    """Turn a function that shows one experiment into a `section` with a heading for each.

    Experiments with nothing to show are left out.
    """

    def decorate(show: _Show) -> _Section:
        @section(otherwise)
        @wraps(show)
        def of_each(results: Results) -> Iterator[Part]:
            for name, experiment in results.experiments.items():
                if content := list(show(experiment)):
                    yield Prose(f"### {experiment.title} (`{name}`)")
                    yield from content

        return of_each

    return decorate


def metric_table(experiment: ExperimentResults, columns: dict[str, str]) -> Table:
    """Means and spreads over seeds, a row per λ; `columns` maps columns of the cells to headers."""
    present = {key: name for key, name in columns.items() if key in experiment.cells}
    cells = experiment.cells.groupby("robust_reg")
    rows = [
        (
            wording.lambda_label(value),
            *(_metric_text(key, cells.get_group(value)) for key in present),
        )
        for value in experiment.lambdas
    ]
    headline = frozenset({experiment.lambdas.index(experiment.robust_reg)})
    kind = "numbers wide" if len(present) > 5 else "numbers"
    return Table(("λ", *present.values()), rows, kind=kind, marked=headline)


def over_seeds(experiment: ExperimentResults) -> Prose:
    """What the numbers of a `metric_table` are."""
    seeds = len(experiment.seeds)
    words = (
        f"Means ± standard deviations over {seeds} seeds. A number with a range in brackets is a "
        "median: there the deviation exceeds the mean."
    )
    return Prose(words if seeds > 1 else "One seed.")


def largest_found(cells: pd.DataFrame) -> pd.Series:
    """A lower bound of the largest ratio to points of the box, a cell.

    By search, or at the example itself: the limit of ratios to ever nearer points.
    """
    return cells[[LOWER, EXACT]].max(axis=1)


def _metric_text(key: str, cells: pd.DataFrame) -> str:
    if key in SHARES:
        return wording.percent_and_spread(cells[key])
    text = wording.mean_and_spread(cells[key]) if key == EXACT else wording.typical(cells[key])
    if key == EXACT:
        ends = largest_found(cells).mean(), cells[CERTIFIED].mean()
        text += "\n" + " to ".join(
            wording.MISSING if math.isnan(end) else wording.significant(end) for end in ends
        )
    return text


def examples_at(experiment: ExperimentResults) -> Tensor:
    """Indices of the test examples to show."""
    return pick(experiment.data.test.y, experiment.params.report.explanations)


def pick(labels: Tensor, count: int) -> Tensor:
    """Indices of up to `count` examples: the first of each class, then the second of each, ….

    In the order of the data, so nothing is hand-picked.
    """
    rank = pd.Series(labels.numpy()).groupby(labels.numpy()).cumcount()
    return torch.from_numpy(np.lexsort((labels.numpy(), rank))[:count].copy())


def raw(x: Tensor, data: Dataset) -> Tensor:
    """Normalised inputs back in [0, 1]."""
    return (x * torch.tensor(data.std) + torch.tensor(data.mean)).clamp(0, 1)


def decoded(reconstruction: Tensor, conceptizer: VaeConceptizer) -> np.ndarray:
    """A VAE's reconstruction as the output of its sigmoid, in [0, 1], whatever its target was."""
    return (reconstruction * conceptizer.scale + conceptizer.shift).clamp(0, 1).numpy()


def by_lambda(cells: pd.DataFrame) -> dict[float, pd.DataFrame]:
    """The cells of every λ, ascending."""
    return {at: cells[cells["robust_reg"] == at] for at in sorted(set(cells["robust_reg"]))}


def collapsed(cells: pd.DataFrame) -> list[str]:
    """``2 of 40 at λ = 0.1``, for every λ at which models collapsed in training."""
    return [
        f"{at['collapsed'].sum():g} of {len(at)} at λ = {wording.lambda_label(value)}"
        for value, at in by_lambda(cells).items()
        if at["collapsed"].any()
    ]


def mean_accuracies(cells: pd.DataFrame) -> dict[float, Interval]:
    """Over seeds, by λ; one seed has no interval, and no bar."""
    return {
        value: accuracy_interval(at) if len(at) > 1 else Interval(*3 * [at["accuracy"].mean()])
        for value, at in by_lambda(cells).items()
    }


def draw_cells(
    axes: Axes,
    cells: pd.DataFrame,
    column: str,
    means: Mapping[float, Interval],
    dots_zorder: float,
    **line: Any,
) -> None:
    """The seeds as dots, hollow where training collapsed; their means as a line with intervals."""
    for collapsed, some in cells.groupby("collapsed"):
        face = "white" if collapsed else style.LIGHT_BLUE
        dots: dict[str, Any] = {"color": style.BLUE, "mfc": face, "markersize": 3.2, "mew": 0.7}
        axes.plot(some["robust_reg"], some[column], "o", zorder=dots_zorder, **dots)
    line |= {"color": style.BLUE, "marker": "o", "markersize": 5, "capsize": 2.5, "zorder": 4}
    style.intervals(axes, list(means), list(means.values()), **line)


@style.styled
def image_rows(rows: Mapping[str, np.ndarray], title: str) -> Figure:
    """Named rows of images, for instance inputs and below them their reconstructions.

    Parameters
    ----------
    rows : name of a row → pixels in [0, 1], (examples, channels, height, width).
    """
    columns = len(next(iter(rows.values())))
    left, top = 0.75, 0.08
    side = (style.WIDTH - left) / columns
    figure, paper = style.canvas(top + len(rows) * side + 0.04, title)
    for index, (name, images) in enumerate(rows.items()):
        down = top + index * side
        style.label_row(paper, left - 0.06, down + side / 2, name, 8)
        for column, image in enumerate(images):
            style.show_image(paper, image, (left + column * side, down, side))
    return figure
