"""The report's section on what training ended in: collapse, and what selection gains.

Computed from the cells' metrics and their training curves; nothing is trained for it.
"""

import math
from collections.abc import Iterator

import pandas as pd
from matplotlib.figure import Figure

from pipeline.claims import wording
from pipeline.claims.results import ExperimentResults
from pipeline.claims.wording import lambda_label
from pipeline.core.params_types import Select
from pipeline.metrics.baselines import class_entropy
from pipeline.reporting import style
from pipeline.reporting.common import by_lambda, collapsed, metric_table, over_seeds, per_experiment
from pipeline.reporting.display import Part, Picture, Prose, Table
from pipeline.study.measured import rounding_spread
from pipeline.training.selection import RULES, selected

MEASURES = {
    "cross_entropy": "cross-entropy",
    "cross_entropy_ratio": "÷ entropy of the classes",
    "balanced_accuracy": "balanced accuracy, %",
    "commonest_share": "commonest prediction, %",
    "selection_gain": "gain by selection, points",
}
_NAMES: dict[Select, str] = {
    "best_validation_accuracy": "best validation accuracy",
    "best_validation_loss": "best validation loss",
    "last": "last weights",
}


@per_experiment()
def collapse(experiment: ExperimentResults) -> Iterator[Part]:
    """How many models collapsed; the trade-off under each rule of selection; curves of collapse."""
    cells, most = experiment.cells, experiment.lambdas[-1]
    counts = collapsed(cells)
    seeds = wording.counted(len(experiment.seeds), "seed")
    yield Prose(
        f"**Models that collapsed: {wording.listed(counts)}.**"
        if counts
        else f"**No model collapsed** (each λ with {seeds})."
    )
    yield over_seeds(experiment)
    yield metric_table(experiment, MEASURES)
    yield Prose(f"Validation accuracy in per cent under each rule of selection, {seeds}:")
    yield _rules(experiment)
    if experiment.name in experiment.params.study:
        yield from _roundings(experiment.roundings)
    if cells.loc[cells["robust_reg"] == most, "collapsed"].any():
        yield _picture(experiment, most)


def _rules(experiment: ExperimentResults) -> Table:
    """Validation accuracy by λ, a column a rule; the rule that this run trained with is named."""
    accuracies = {rule: selected_accuracies(experiment.curves, rule) for rule in RULES}
    header = [
        _NAMES[rule] + (" (this run)" if rule == experiment.settings.select else "")
        for rule in RULES
    ]
    rows = [
        (
            lambda_label(value),
            *(wording.percent_and_spread(accuracies[rule].loc[value]) for rule in RULES),
        )
        for value in sorted(experiment.cells["robust_reg"].unique())
    ]
    return Table(("λ", *header), rows)


def _roundings(cells: pd.DataFrame) -> Iterator[Part]:
    """What rounding does to test accuracy, beside what seeds do."""
    if cells.empty:
        return
    pairs = wording.counted(cells["seed"].nunique(), "seed")
    yield Prose(
        "How much of the test accuracy is the luck of rounding? Standard deviations in points, "
        f"from {pairs} trained twice, the second time from initial weights moved by 10⁻⁷ of "
        "themselves:"
    )
    rows = [
        (
            lambda_label(value),
            *(
                wording.MISSING if math.isnan(spread) else f"{100 * spread:.2f}"
                for spread in rounding_spread(at)
            ),
        )
        for value, at in by_lambda(cells).items()
    ]
    yield Table(("λ", "rounding alone", "seeds, rounding included"), rows)


def selected_accuracies(curves: pd.DataFrame, rule: Select) -> pd.Series:
    """Validation accuracy of the weights that `rule` keeps, by λ and seed.

    Parameters
    ----------
    curves : one row a cell and validation, as stage `train` writes them.
    """
    kept = {key: selected(cell, rule) for key, cell in curves.groupby(["robust_reg", "seed"])}
    index = pd.MultiIndex.from_tuples(kept, names=["robust_reg", "seed"])
    return pd.Series([row["valid_accuracy"] for row in kept.values()], index)


def _picture(experiment: ExperimentResults, robust_reg: float) -> Picture:
    curves = experiment.curves
    curves = curves[curves["robust_reg"] == robust_reg]
    entropy = class_entropy(experiment.data.valid.y)
    first = experiment.seeds[0]
    title = f"What training ends in at λ = {lambda_label(robust_reg)}"
    seeds = wording.counted(len(experiment.seeds), "seed")
    return Picture(
        collapse_curves(curves, experiment.settings.select, entropy, first, title),
        f"collapse_{experiment.name}",
        f"{title}: validation cross-entropy and accuracy of {experiment.name} against training "
        f"steps, {seeds}; the weights kept are marked.",
        f"A line per seed ({seeds}), that of {first} dark. The dot marks the weights kept. Dashed: "
        "the best that a prediction can do which ignores its input.",
    )


@style.styled
def collapse_curves(
    curves: pd.DataFrame, rule: Select, entropy: float, highlighted: int, title: str
) -> Figure:
    """Validation cross-entropy and accuracy against steps, a panel each and a line per seed.

    Parameters
    ----------
    curves : of one λ, one row a seed and validation: seed, step, valid_classification,
        valid_accuracy.
    rule : by which weights were selected; a dot marks them.
    entropy : of the class frequencies, in nats: a dashed line.
    highlighted : the seed whose line is dark.
    """
    figure = style.new_figure(3.6, title)
    above, below = figure.subplots(2, 1, sharex=True)
    for seed, cell in curves.groupby("seed"):
        is_first = seed == highlighted
        colour = style.BLUE if is_first else style.LIGHT_BLUE
        look = {"color": colour, "zorder": 3 if is_first else 1}
        kept = selected(cell, rule)
        for axes, column in ((above, "valid_classification"), (below, "valid_accuracy")):
            axes.plot(cell["step"], cell[column], linewidth=1.2 if is_first else 0.4, **look)
            axes.plot(kept["step"], kept[column], "o", markersize=5 if is_first else 2, **look)
    above.axhline(entropy, color=style.VERMILION, linestyle="--", linewidth=1, zorder=2)
    above.set_ylabel("cross-entropy")
    below.set_ylabel("accuracy")
    below.set_xlabel("training steps")
    style.percent_ticks(below.yaxis)
    return figure
