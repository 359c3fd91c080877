"""The report's section on stability and faithfulness, and its tables of metrics by λ."""

import math
from collections.abc import Iterator
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from pipeline.claims.results import ExperimentResults, Results
from pipeline.reporting import style, wording
from pipeline.reporting.common import Part, per_experiment
from pipeline.reporting.display import Picture, Table
from pipeline.reporting.style import lambda_label

LOWER, EXACT, CERTIFIED = (f"lipschitz_input_{name}" for name in ("lower", "exact", "certified"))
STABILITY = {
    "accuracy": "accuracy, %",
    "test_robustness_loss": "robustness loss",
    "lipschitz_discrete": "Lipschitz, test points",
    "lipschitz_local": "Lipschitz, box",
    EXACT: "Lipschitz, input",
    "faithfulness_relevance": "faithfulness, relevance",
    "faithfulness_contribution": "faithfulness, contribution",
}


@per_experiment()
def stability(experiment: ExperimentResults, results: Results) -> Iterator[Part]:
    """Stability and faithfulness, a table and a figure per experiment."""
    yield metric_table(results, experiment, STABILITY)
    if (experiment.cells.filter([LOWER, EXACT, CERTIFIED]) > 0).any(axis=None):
        yield _certified(experiment)


def _certified(experiment: ExperimentResults) -> Picture:
    lower, certified = (experiment.headline[name].mean() for name in (LOWER, CERTIFIED))
    title = f"Worst ratio at λ = {lambda_label(experiment.robust_reg)}: "
    if math.isnan(certified):
        title += f"at least {wording.significant(lower)}"
    else:
        title += f"{wording.significant(lower)} to {wording.significant(certified)}"
    return Picture(
        certified_stability(experiment.cells, title),
        f"stability_{experiment.name}",
        f"{title}. Against λ, a band from the largest ratio found to the certified bound, and the "
        "exact ratio at the example; column “Lipschitz, input” above has the same numbers.",
        "Medians over test examples, means over seeds; rings are seeds.",
    )


def metric_table(results: Results, experiment: ExperimentResults, columns: dict[str, str]) -> Table:
    """Means and spreads over seeds of `columns` of the cells → their names, a row per λ."""
    shown = {key: name for key, name in columns.items() if key in experiment.cells}
    lambdas = results.params.lambdas(experiment.name)
    rows = []
    for robust_reg in lambdas:
        cells = experiment.cells[experiment.cells["robust_reg"] == robust_reg]
        rows.append((lambda_label(robust_reg), *(_cell_text(key, cells) for key in shown)))
    chosen = {lambdas.index(experiment.robust_reg)}
    return Table(("λ", *shown.values()), rows, marked=frozenset(chosen))


def _cell_text(key: str, cells: pd.DataFrame) -> str:
    spread = wording.percent_and_spread if key == "accuracy" else wording.mean_and_spread
    text = spread(cells[key])
    if key == EXACT:
        ends = (cells[end].mean() for end in (LOWER, CERTIFIED))
        text += "\n" + " to ".join(
            wording.MISSING if math.isnan(end) else wording.significant(end) for end in ends
        )
    return text


@style.styled
def certified_stability(cells: pd.DataFrame, title: str) -> Figure:
    """The range in which the worst ratio lies, a band from found to certified, against λ.

    The exact ratio at the anchor is a dot, that of each seed a ring. What is 0 or undefined has no
    place on the logarithmic axis, and is left out.

    Parameters
    ----------
    cells : one row a cell: robust_reg, seed, and the three ratios, of which one at least is > 0.
    """
    figure = style.new_figure(2.8, title)
    axes = figure.subplots()
    ratios = cells[[LOWER, EXACT, CERTIFIED]].where(cells[[LOWER, EXACT, CERTIFIED]] > 0)
    means = ratios.groupby(cells["robust_reg"]).mean()
    lambdas = list(means.index)
    axes.fill_between(
        lambdas, means[LOWER], means[CERTIFIED], color=style.BLUE, alpha=0.13, linewidth=0
    )
    axes.vlines(lambdas, means[LOWER], means[CERTIFIED], color=style.BLUE, linewidth=0.8)
    for name, marker, label in (
        (CERTIFIED, "v", "certified, never exceeded"),
        (LOWER, "^", "found by search"),
    ):
        axes.plot(lambdas, means[name], color=style.BLUE, marker=marker, linewidth=0.8, label=label)
    exact: dict[str, Any] = {"linestyle": "", "marker": "o", "color": style.VERMILION}
    axes.plot(lambdas, means[EXACT], markersize=4.5, label="exact, at the example", **exact)
    axes.plot(
        cells["robust_reg"],
        ratios[EXACT],
        markersize=3.2,
        markerfacecolor="white",
        markeredgewidth=0.7,
        zorder=1.9,
        **exact,
    )
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if _decades(ratios) < 2.5 else (1,)))
    axes.yaxis.set_major_formatter(lambda value, _: style.lambda_label(value))
    axes.yaxis.set_minor_formatter(NullFormatter())
    style.lambda_axis(axes, lambdas)
    axes.set_ylabel("change of relevances\nper change of input")
    axes.legend(loc="best")
    return figure


def _decades(ratios: pd.DataFrame) -> float:
    """How many powers of ten the ratios span."""
    return math.log10(ratios.max().max() / ratios.min().min())
