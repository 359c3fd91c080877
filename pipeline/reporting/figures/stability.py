"""How unstable relevances are at worst, against λ: found, exact at the anchor, certified."""

import math
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from pipeline.reporting import style

LOWER, EXACT, CERTIFIED = (f"lipschitz_input_{name}" for name in ("lower", "exact", "certified"))


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
