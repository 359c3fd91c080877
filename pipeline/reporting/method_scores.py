"""The report's section that compares explanation methods: heat maps, scores and curves."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.claims.results import ExperimentResults, Results
from pipeline.metrics.scores import SCORES, Score
from pipeline.reporting import style, wording
from pipeline.reporting.common import Part, per_experiment
from pipeline.reporting.display import Picture, Prose, Table
from pipeline.reporting.heat_maps import heat_maps, prototypes_of_classes

_ARROWS = {"high": "↑", "low": "↓"}
FAMILIES = {
    "self-explaining": style.BLUE,
    "gradient": style.GREEN,
    "propagation": style.VERMILION,
    "perturbation": "#CC79A7",
}
_PALETTE = (style.BLUE, style.VERMILION, style.GREEN, *style.FURTHER, style.INK)
_PANELS = {
    "deletion": "share removed",
    "insertion": "share shown",
    "noise": "noise level",
    "randomisation": "layers shuffled",
}
_KEY_COLUMNS = 3


@per_experiment()
def comparison(experiment: ExperimentResults, results: Results) -> Iterator[Part]:
    """Explanation methods compared: heat maps, scores, figures; for every experiment."""
    yield Prose(_sentences(experiment))
    yield from heat_maps(experiment, results)
    if experiment.has_images:
        yield prototypes_of_classes(experiment)
    yield _scatter(experiment)
    yield _scores(experiment.methods, experiment.learns_concepts)
    yield _curves(experiment)


def peers(scores: pd.DataFrame, learns_concepts: bool) -> list[pd.DataFrame]:
    """Rows of methods that can be ranked against each other.

    Those that speak of the same, pixels or concepts (concepts that are the features are the same as
    these), and explained as many examples as any.
    """
    whole = scores[scores["examples"] == scores["examples"].max()]
    if not learns_concepts:
        return [whole]
    return [group for _, group in whole.groupby("speaks_of", sort=False)]


def best_of(score: Score, group: pd.DataFrame) -> pd.Series:
    """Which rows of `group` have its best value of `score`, as shown, bool."""
    shown = group[score.name].map(lambda value: float(_number(value)) if value == value else value)
    return shown == (shown.max() if score.best == "high" else shown.min())


def _scores(scores: pd.DataFrame, learns_concepts: bool) -> Table:
    header = ["method"]
    header += [f"{score.label} {_ARROWS[score.best]}" for score in SCORES.values()]
    rows = []
    for row in scores.to_dict("records"):
        of = f"of {row['speaks_of']}, {row['examples']} examples"
        rows.append((f"{row['label']}\n{of}", *(_cell(row, name) for name in SCORES)))
    best = {
        (int(row), column)
        for group in peers(scores, learns_concepts)
        for column, score in enumerate(SCORES.values(), start=1)
        for row in np.flatnonzero(scores["method"].isin(group["method"][best_of(score, group)]))
    }
    return Table(header, rows, kind="numbers scores", best=frozenset(best))


def _cell(row: dict, name: str) -> str:
    value, low, high = (row[name + end] for end in ("", "_low", "_high"))
    if math.isnan(value):
        return wording.MISSING
    text = f"{_number(value)}\n{_number(low)} to {_number(high)}".replace("-", "−")
    undefined = int(row[f"{name}_undefined"])
    return f"{text}\n{undefined} undefined" if undefined else text


def _number(value: float) -> str:
    """Two decimals below 10, none from 100: what an interval this wide can bear."""
    decimals = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    return f"{value:.{decimals}f}"


def _sentences(experiment: ExperimentResults) -> str:
    """How much was compared, who leads, and what SENN's prediction rests on."""
    scores = experiment.methods
    costly = scores[scores["examples"] < scores["examples"].max()]
    seeds, examples = int(scores["seeds"].max()), int(scores["examples"].max())
    text = (
        f"{len(scores)} methods, {examples} test examples, "
        f"{wording.counted(seeds, 'model')} with λ = {experiment.robust_reg:g}"
    )
    if len(costly):
        fewer = wording.listed(costly["label"].tolist())
        text += (
            f"; {fewer} run the model hundreds of times per example and got "
            f"{costly['examples'].max()} examples each"
        )
    of_inputs = peers(scores[scores["speaks_of"] == "inputs"], True)[0]
    faithful = of_inputs.iloc[int(of_inputs["faithfulness"].argmax())]
    stable = of_inputs.iloc[int(of_inputs["lipschitz_local"].argmin())]
    least = _number(stable["lipschitz_local"])
    text += (
        f". Of those that speak of inputs, **{faithful['label']}** is the most faithful "
        f"(correlation {_number(faithful['faithfulness'])}) "
    )
    text += (
        f"and the most stable (Lipschitz ratio in the box {least})."
        if faithful["method"] == stable["method"]
        else f"and **{stable['label']}** the most stable (Lipschitz ratio in the box {least})."
    )
    kept = _without_concepts(experiment)
    if kept is not None:
        text += (
            f" With all concepts set to their mean and the relevances held, the predicted class "
            f"keeps a probability of {_number(kept)} on average: that much of a prediction is in "
            "the relevances alone."
        )
    return text


def _without_concepts(experiment: ExperimentResults) -> float | None:
    """p(predicted class) with all learned concepts at their mean; None if they are features."""
    if not experiment.learns_concepts:
        return None
    curves = experiment.method_curves
    deletion = curves[(curves["method"] == "contribution") & (curves["curve"] == "deletion")]
    return float(deletion["value"].iloc[-1])


def _scatter(experiment: ExperimentResults) -> Picture:
    scores = experiment.methods
    figure = faithfulness_against_stability(scores, "Faithfulness against stability")
    values = [
        f"{row['label']} {_number(row['faithfulness'])} and {_number(row['lipschitz_local'])}"
        for row in scores.to_dict("records")
    ]
    alt = f"Faithfulness and local Lipschitz ratio of each method: {'; '.join(values)}."
    caption = "Upper left is best. Lines are 95 % intervals over test examples."
    if experiment.learns_concepts:
        caption += " What speaks of concepts is measured on these, not on pixels."
    return Picture(figure, f"methods_{experiment.name}", alt, caption)


def _curves(experiment: ExperimentResults) -> Picture:
    families = dict(zip(experiment.methods["method"], experiment.methods["family"], strict=True))
    figure = method_curves(experiment.method_curves, families, "Removed, added, noisy, shuffled")
    alt = (
        "Curves of every method, a row of panels per family: probability of the predicted class "
        "under deletion and insertion, relative distance under noise, and rank correlation as "
        "layers are shuffled."
    )
    caption = (
        "In grey, the methods of the other rows. Deletion should fall fast, insertion rise fast, "
        "noise stay low, randomisation fall to 0."
    )
    return Picture(figure, f"method_curves_{experiment.name}", alt, caption)


@style.styled
def faithfulness_against_stability(scores: pd.DataFrame, title: str) -> Figure:
    """A named dot per method, with 95 % intervals both ways.

    Parameters
    ----------
    scores : one row a method: label, family, speaks_of, faithfulness and lipschitz_local, with
        ``_low`` and ``_high``; rows with an undefined one are left out.
    """
    scores = scores.dropna(subset=["faithfulness", "lipschitz_local"])
    step = 0.15
    height = max(2.4, step * len(scores) + 0.1)
    left, top, width, bottom = 0.62, 0.05, 2.02, 0.75
    figure, paper = style.canvas(top + height + bottom, title)
    axes = style.axes_at(figure, left, top, width, height)
    axes.set_xscale("symlog", linthresh=0.1, linscale=0.5)
    axes.set_xlim(0, 1.5 * max(scores["lipschitz_local_high"].max(), 1.0))
    lowest, highest = scores["faithfulness_low"].min(), scores["faithfulness_high"].max()
    margin = 0.05 * max(highest - lowest, 0.1)
    low, high = lowest - margin, highest + margin
    axes.set_ylim(low, high)
    axes.xaxis.set_major_formatter(lambda value, _: style.number(value))
    axes.yaxis.set_major_formatter(lambda value, _: style.number(round(value, 6)))
    axes.minorticks_off()
    axes.set_xlabel("local Lipschitz ratio")
    axes.set_ylabel("faithfulness")
    ordered = scores.sort_values("faithfulness", ascending=False, kind="stable")
    for rank, method in enumerate(ordered.to_dict("records")):
        colour = FAMILIES[method["family"]]
        x, y = method["lipschitz_local"], method["faithfulness"]
        for ends in (
            ([method["lipschitz_local_low"], method["lipschitz_local_high"]], [y, y]),
            ([x, x], [method["faithfulness_low"], method["faithfulness_high"]]),
        ):
            axes.plot(*ends, color=colour, linewidth=0.6, alpha=0.45, zorder=2)
        filled = "white" if method["speaks_of"] == "concepts" else colour
        axes.plot(x, y, "o", color=colour, markerfacecolor=filled, markersize=4.5, zorder=3)
        # Names stand in a column of their own, in the order of the dots, each tied to its dot.
        down = top + (rank + 0.5) * height / len(ordered)
        across = axes.transLimits.transform(axes.transScale.transform((x, y)))
        start = (left + across[0] * width, top + (1 - across[1]) * height)
        paper.plot(
            [start[0], left + width + 0.02, left + width + 0.1],
            [start[1], down, down],
            color=style.FAINT,
            linewidth=0.6,
            zorder=0,
        )
        paper.text(
            left + width + 0.13, down, method["label"], fontsize=7, va="center", color=colour
        )
    axes.set_facecolor("none")  # the ties are on the paper below
    _family_key(paper, top + height + 0.62, scores)
    return figure


@style.styled
def method_curves(curves: pd.DataFrame, families: dict[str, str], title: str) -> Figure:
    """Every kind of curve for each family of methods, all other methods in grey behind.

    Parameters
    ----------
    curves : one row a point: method, label, curve, position, value.
    families : of every method; a row of panels each.
    """
    shown = [family for family in FAMILIES if family in families.values()]
    names = {family: [m for m in families if families[m] == family] for family in shown}
    labels = dict(zip(curves["method"], curves["label"], strict=True))
    left, first, panel, gap, line = 0.2, 0.24, 0.82, 0.28, 0.13
    keys = {family: line * -(-len(names[family]) // _KEY_COLUMNS) for family in shown}
    height = first + sum(panel + 0.27 + key + 0.14 for key in keys.values()) + 0.1
    figure, paper = style.canvas(height, title)
    width = (style.WIDTH - left - 0.06) / len(_PANELS) - gap
    down = first
    for family in shown:
        for column, kind in enumerate(_PANELS):
            axes = style.axes_at(figure, left + column * (width + gap), down, width, panel)
            _draw_curves(axes, curves[curves["curve"] == kind], names[family])
            if family == shown[0]:
                axes.set_title(kind, fontsize=8)
            if family == shown[-1]:
                axes.set_xlabel(_PANELS[kind], fontsize=7, labelpad=1)
        down += panel + 0.27 + (0.1 if family == shown[-1] else 0)
        for index, name in enumerate(names[family]):
            x = 0.06 + index % _KEY_COLUMNS * style.WIDTH / _KEY_COLUMNS
            y = down + line * (index // _KEY_COLUMNS)
            paper.plot([x, x + 0.1], [y, y], linewidth=1.2, **_look(index))
            paper.text(x + 0.13, y, labels.get(name, name), fontsize=6.3, va="center")
        down += keys[family] + 0.14
    return figure


def _draw_curves(axes: Axes, curves: pd.DataFrame, methods: list[str]) -> None:
    points = {str(name): curve for name, curve in curves.groupby("method", sort=False)}
    for name in [name for name in points if name not in methods]:
        axes.plot(points[name]["position"], points[name]["value"], color=style.FAINT, linewidth=0.6)
    for index, name in enumerate(methods):
        if name in points:
            curve = points[name]
            axes.plot(curve["position"], curve["value"], linewidth=1.1, **_look(index))
    lowest, most = (float(curves["value"].quantile(share)) for share in (0, 0.98))
    axes.set_ylim(min(0.0, 1.1 * lowest), 1.06 * max(most, 1.0))
    axes.set_yticks([0, 1])
    axes.set_xticks(sorted({curves["position"].min(), curves["position"].max()}))
    axes.xaxis.set_major_formatter(lambda value, _: style.number(value))
    axes.tick_params(labelsize=6.5)


def _look(index: int) -> dict[str, Any]:
    """How the line of a family's method of this index is drawn."""
    dashed = index >= len(_PALETTE)
    return {"color": _PALETTE[index % len(_PALETTE)], "linestyle": (0, (3, 1)) if dashed else "-"}


def _family_key(paper: Axes, down: float, scores: pd.DataFrame) -> None:
    x = 0.1
    entries = [(name, FAMILIES[name], FAMILIES[name]) for name in FAMILIES]
    entries = [entry for entry in entries if entry[0] in set(scores["family"])]
    if "concepts" in set(scores["speaks_of"]):
        entries.append(("hollow: concepts", style.GREY, "white"))
    for name, colour, filled in entries:
        paper.plot(x, down, "o", color=colour, markerfacecolor=filled, markersize=4)
        paper.text(x + 0.06, down, name, fontsize=6.8, va="center")
        x += 0.17 + 0.051 * len(name)
