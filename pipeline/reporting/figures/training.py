"""Training and pretraining curves."""

from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from pipeline.reporting import style


@style.styled
def training_curves(curves: pd.DataFrame, panels: Mapping[str, str], title: str) -> Figure:
    """One panel per quantity against training steps; a line per cell, coloured by λ.

    Parameters
    ----------
    curves : one row a validation: robust_reg, seed, step, and the columns of `panels`.
    panels : column → what to call it; columns ending in ``_accuracy`` are drawn in per cent, those
        ending in ``_robustness`` on a log axis.
    """
    rows = -(-len(panels) // 2)
    figure = style.new_figure(0.7 + 1.7 * rows, title)
    grid = figure.subplots(rows, 2, squeeze=False, sharex=True)
    lambdas = sorted(curves["robust_reg"].unique())
    colours = dict(zip(lambdas, lambda_colours(len(lambdas)), strict=True))
    for axes, (column, name) in zip(grid.flat, panels.items(), strict=False):
        for (robust_reg, _), cell in curves.groupby(["robust_reg", "seed"]):
            axes.plot(cell["step"], cell[column], color=colours[robust_reg], linewidth=0.9)
        if column.endswith("_accuracy"):
            axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
        elif column.endswith("_robustness") and (curves[column] > 0).all():
            axes.set_yscale("log")
        axes.set_title(name)
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    _name_steps(grid, len(panels), "training steps")
    handles = [
        mpl.lines.Line2D([], [], color=colours[v], label=f"λ = {style.lambda_label(v)}")
        for v in lambdas
    ]
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=min(len(lambdas), 5),
        columnspacing=1.0,
        handlelength=1.2,
    )
    return figure


@style.styled
def pretraining_curves(curves: pd.DataFrame, title: str) -> Figure:
    """The β-VAE's losses against epochs: a panel per loss, a line per seed.

    Parameters
    ----------
    curves : one row an epoch and seed: seed, epoch, and one column per loss.
    """
    losses = [str(column) for column in curves if column not in ("seed", "epoch")]
    rows = -(-len(losses) // 2)
    figure = style.new_figure(0.6 + 1.6 * rows, title)
    grid = figure.subplots(rows, 2, squeeze=False, sharex=True)
    for axes, column in zip(grid.flat, losses, strict=False):
        for _, of_seed in curves.groupby("seed"):
            axes.plot(of_seed["epoch"], of_seed[column], color=style.BLUE, linewidth=1)
        axes.set_title(column.replace("_", " "))
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    _name_steps(grid, len(losses), "epochs")
    return figure


def _name_steps(grid: np.ndarray, panels: int, name: str) -> None:
    """Label the x axis below each column's last panel; hide the places without a panel."""
    for index, axes in enumerate(grid.flat):
        if index >= panels:
            axes.set_axis_off()
        elif index + grid.shape[1] >= panels:
            axes.tick_params(labelbottom=True)
            axes.set_xlabel(name)


def lambda_colours(count: int) -> np.ndarray:
    """`count` colours from dark to light, for rising λ."""
    return mpl.colormaps["viridis"](np.linspace(0, 0.88, count))
