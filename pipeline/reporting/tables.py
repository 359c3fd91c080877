"""The report's section on the paper's tables: accuracy, and what stability costs on them.

The paper's figures 5A and 5B have accuracy and the estimate of eq. 5 against λ.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import pandas as pd
from matplotlib.figure import Figure

from pipeline.claims import wording
from pipeline.claims.results import ExperimentResults, Results
from pipeline.metrics.intervals import interval
from pipeline.reporting import style
from pipeline.reporting.common import by_lambda, draw_cells, mean_accuracies, section
from pipeline.reporting.display import Part, Picture, Prose, Table


class _Published(NamedTuple):
    """A panel of the paper's figure 5: what can be read off it.

    Attributes
    ----------
    figure, data : str
        Its number, and what it is about.
    accuracy : tuple of float
        At the smallest and the largest λ; where no more can be read, the ends of its axis.
    estimate : tuple of float or None
        The ends of the axis of the estimate of eq. 5.
    """

    figure: str
    data: str
    accuracy: tuple[float, float]
    estimate: tuple[float, float] | None = None


FIGURES = {
    "compas_senn": _Published("5A", "COMPAS", (0.83, 0.78)),
    "uci_breast_cancer": _Published("5B", "Breast cancer", (0.8, 1.0), (0.0, 1.0)),
}
"""By the experiment that repeats them."""


@section("This run has no tables.")
def tables(results: Results) -> Iterator[Part]:
    """A table of all tables, and the paper's figures 5A and 5B."""
    if results.tables:
        yield _overview(results)
        yield Prose(_EXPLAINED)
    for name, published in FIGURES.items():
        if name in results.everything:
            yield _picture(results.everything[name], published)


_EXPLAINED = (
    "Means ± standard deviations over seeds, at the smallest and the largest λ of each table. "
    "*Linear*: logistic regression without an intercept, as SENN has none. *Eq. 5*: the estimate "
    "of the paper’s equation 5 by gradient ascent, median over test points; lower is more stable. "
    "*Collapsed*: share of the models with the largest λ whose last validation is no better than "
    "a constant prediction."
)


def _overview(results: Results) -> Table:
    """One row a table: sizes, accuracies and stability at the ends of its grid."""
    header = ("table", "rows", "features", "classes", "linear, %", "SENN, smallest λ, %",
              "largest λ, %", "eq. 5, smallest λ", "largest λ", "collapsed")  # fmt: skip
    rows = [tuple(_row(experiment)) for experiment in results.tables.values()]
    return Table(header, rows, kind="numbers wide")


def _row(experiment: ExperimentResults) -> Iterator[str]:
    data, linear = experiment.data, experiment.linear
    at_each = list(by_lambda(experiment.cells).values())
    first, last = at_each[0], at_each[-1]
    rows = sum(len(split) for split in (data.train, data.valid, data.test))
    yield experiment.name
    yield from map(str, (rows, data.input_shape[0], len(data.class_names)))
    yield wording.points(linear.mean) if linear else wording.MISSING
    yield from (wording.percent_and_spread(at["accuracy"]) for at in (first, last))
    yield from (wording.mean_and_spread(at["lipschitz_local"]) for at in (first, last))
    yield wording.percent(last["collapsed"].mean(), 0)


def _picture(experiment: ExperimentResults, published: _Published) -> Picture:
    cells = experiment.cells
    means = cells.groupby("robust_reg")[["accuracy", "lipschitz_local"]].mean()
    (accuracy, before), (less, after) = means.to_numpy()[[0, -1]].tolist()
    title = (
        f"{published.data}: eq. 5 goes from {wording.significant(before)} to "
        f"{wording.significant(after)}, accuracy from {wording.points(accuracy)} to "
        f"{wording.percent(less)}"
    )
    of_paper = (
        "the axes of the paper’s figure, which are all that can be read off it"
        if published.estimate
        else "the ends of the paper’s curve of accuracy, read off it"
    )
    caption = (
        f"As the paper’s figure {published.figure}. Blue: means, with 95 % intervals over seeds "
        "and (of accuracy) test examples. Dots: seeds, hollow where training collapsed; "
        f"estimates of 0 count in the means alone. Green: {of_paper}."
    )
    alt = (
        f"{title}. Accuracy above, the estimate of equation 5 below, at λ = "
        f"{wording.lambdas(list(means.index))}."
    )
    figure = trade_off(cells, published, title)
    return Picture(figure, f"tradeoff_{experiment.name}", alt, caption)


@style.styled
def trade_off(cells: pd.DataFrame, published: _Published, title: str) -> Figure:
    """Accuracy above, the estimate of eq. 5 below, both against λ on log axes.

    Parameters
    ----------
    cells : one row per cell: robust_reg, seed, accuracy and its ends, lipschitz_local, collapsed.
    """
    figure = style.new_figure(4.2, title)
    above, below = figure.subplots(2, 1, sharex=True)
    accuracies = mean_accuracies(cells)
    label = f"paper, read off figure {published.figure}"
    if published.estimate:
        for axes, (low, high) in ((above, published.accuracy), (below, published.estimate)):
            pale: dict[str, Any] = {"color": style.GREEN, "alpha": 0.12, "linewidth": 0}
            axes.axhspan(low, high, label=f"{label}: its axis", **pale)
    else:
        dashed: dict[str, Any] = {"color": style.GREEN, "linestyle": "--", "marker": "^"}
        above.plot([min(accuracies), max(accuracies)], published.accuracy, label=label, **dashed)
    draw_cells(above, cells, "accuracy", accuracies, 2, label="this run")
    estimates = cells.assign(lipschitz_local=cells["lipschitz_local"].replace(0, math.nan))
    means = {
        value: interval(at["lipschitz_local"].dropna().tolist())
        for value, at in by_lambda(cells).items()
    }
    below.set_yscale("log", nonpositive="clip")
    draw_cells(below, estimates, "lipschitz_local", means, 2, label="this run")
    below.set_ylim(bottom=estimates["lipschitz_local"].min() / 2)
    below.yaxis.set_major_formatter(lambda value, _: wording.lambda_label(value))
    style.percent_ticks(above.yaxis)
    above.set_ylabel("test accuracy")
    below.set_ylabel("estimate of eq. 5")
    style.lambda_axis(below, list(means))
    above.legend(loc="best")
    return figure
