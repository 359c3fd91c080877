"""The report's section that compares explanation methods: heat maps, scores and curves."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.claims import wording
from pipeline.claims.results import ExperimentResults, Results
from pipeline.metrics.intervals import excludes, widened
from pipeline.metrics.scores import SCORES, Score
from pipeline.reporting import style
from pipeline.reporting.common import per_experiment, section
from pipeline.reporting.display import Part, Picture, Prose, Table
from pipeline.reporting.heat_maps import heat_maps

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
    "insertion": "share added",
    "noise": "noise level",
    "randomisation": "layers shuffled",
}
_KEY_COLUMNS = 3
REMOVES = "⊖"


@per_experiment()
def comparison(experiment: ExperimentResults) -> Iterator[Part]:
    """Who leads, heat maps, scores and curves of all methods, for every experiment."""
    if experiment.name not in experiment.params.explain.experiments:
        return
    scores = experiment.methods
    yield Prose(_sentences(experiment, scores))
    yield from heat_maps(experiment)
    yield _scatter(experiment, scores)
    yield _scores(scores, experiment.learns_concepts, list(SCORES.values()))
    yield _curves(experiment)


@section("This run scores no methods on texts.")
def words(results: Results) -> Iterator[Part]:
    """The same of texts, whose methods all speak of words; their documents are coloured instead."""
    for name, experiment in results.texts.items():
        if name in results.params.explain.experiments:
            scores = experiment.methods.assign(speaks_of="words")
            defined = [score for score in SCORES.values() if scores[score.name].notna().any()]
            yield Prose(_sentences(experiment, scores))
            yield _scatter(experiment, scores)
            yield _scores(scores, experiment.learns_concepts, defined)
            yield _curves(experiment)


def peers(scores: pd.DataFrame, learns_concepts: bool) -> list[pd.DataFrame]:
    """Groups of methods that can be ranked against each other.

    They explain the same thing, inputs or concepts (which are one if concepts are the features), on
    the largest number of examples.
    """
    whole = scores[scores["examples"] == scores["examples"].max()]
    if not learns_concepts:
        return [whole]
    return [group for _, group in whole.groupby("speaks_of", sort=False)]


def best_of(score: Score, group: pd.DataFrame) -> pd.Series:
    """Which rows of `group` have its best value of `score`, as rounded in the table, bool.

    Not those that do themselves what the score is measured by.
    """
    rounded = _eligible(score, group).map(lambda value: float(_number(value)), na_action="ignore")
    return rounded == (rounded.max() if score.best == "high" else rounded.min())


def rivals_of(score: Score, group: pd.DataFrame) -> pd.Series:
    """Which rows of `group` cannot be told apart from those with its best value of `score`, bool.

    Their intervals overlap, each made wide enough for all scores of all methods in `group`: so many
    are looked at to find the winners (`widened`).
    """
    best, looked_at = best_of(score, group), len(SCORES) * len(group)
    wide = [widened(row, score.name, looked_at) for row in group.to_dict("records")]
    leaders = [here for here, leads in zip(wide, best, strict=True) if leads]
    overlap = np.array(
        [any(not excludes(here, one.low, one.high) for one in leaders) for here in wide]
    )
    return _eligible(score, group).notna() & overlap & ~best


def _eligible(score: Score, group: pd.DataFrame) -> pd.Series:
    """The values of a score without those of methods that do what it is measured by."""
    return group[score.name].mask(group["by_removal"] & score.by_removal)


def _scores(scores: pd.DataFrame, learns_concepts: bool, shown: Sequence[Score]) -> Table:
    groups = peers(scores, learns_concepts)
    best, rivals = (_placed(scores, groups, shown, which) for which in (best_of, rivals_of))
    header = ["method", *(f"{score.label} {_ARROWS[score.best]}" for score in shown)]
    rows = [
        (
            f"{_marked(row)}\n{row['speaks_of']}, n\u00a0=\u00a0{row['examples']}",
            *(
                _cell(row, score.name, (index, column) in rivals)
                for column, score in enumerate(shown, start=1)
            ),
        )
        for index, row in enumerate(scores.to_dict("records"))
    ]
    return Table(header, rows, kind="numbers wide", best=best)


def _placed(
    scores: pd.DataFrame,
    groups: list[pd.DataFrame],
    shown: Sequence[Score],
    which: Callable[[Score, pd.DataFrame], pd.Series],
) -> frozenset[tuple[int, int]]:
    """The (row, column) in the table of what `which` chooses of each score in each group."""
    return frozenset(
        (int(row), column)
        for group in groups
        for column, score in enumerate(shown, start=1)
        for row in np.flatnonzero(scores["method"].isin(group["method"][which(score, group)]))
    )


def _cell(row: dict, name: str, is_rival: bool) -> str:
    value, low, high = (row[name + end] for end in ("", "_low", "_high"))
    if math.isnan(value):
        return wording.MISSING
    mark = " ≈" if is_rival else ""
    text = wording.minus(f"{_number(value)}{mark}\n{_number(low)} to {_number(high)}")
    undefined = int(row[f"{name}_undefined"])
    return f"{text}\n{undefined} undefined" if undefined else text


def _marked(row: dict) -> str:
    """The label, marked if the method is itself a removal of what faithfulness removes."""
    return f"{row['label']} {REMOVES}" if row["by_removal"] else str(row["label"])


def _number(value: float) -> str:
    """Two decimals below 10, none from 100 on: as many as the width of the intervals justifies."""
    decimals = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    return f"{round(value, decimals) + 0.0:.{decimals}f}"  # no −0


def _minus(value: float) -> str:
    """The same for people."""
    return wording.minus(_number(value))


def _sentences(experiment: ExperimentResults, scores: pd.DataFrame) -> str:
    """Who leads, what SENN's prediction rests on, and how much was compared."""
    explained, removed = ("inputs", "parts of them")
    if (scores["speaks_of"] == "words").all():
        explained, removed = ("words", "any of them")
    groups = peers(scores, experiment.learns_concepts)
    group = next(one for one in groups if (one["speaks_of"] == explained).any())
    independent = group[~group["by_removal"]]
    faithful = independent.iloc[int(independent["faithfulness"].argmax())]
    stable = group.iloc[int(group["lipschitz_local"].argmin())]
    most_faithful, most_stable = (
        f"{_minus(leader[name])}, {_rivals(group, leader['method'], name)}"
        for leader, name in ((faithful, "faithfulness"), (stable, "lipschitz_local"))
    )
    seeds, examples = scores["seeds"].max(), scores["examples"].max()
    of_all = f"of all that explain {explained} and are scored on {examples} examples"
    ratio = f"(Lipschitz ratio in the box {most_stable})."
    text = (
        f"Of the methods that explain {explained} without removing {removed}, "
        f"**{faithful['label']}** has the highest faithfulness (correlation {most_faithful}); "
    )
    text += (
        f"it is also the most stable {of_all} {ratio}"
        if faithful["method"] == stable["method"]
        else f"{of_all}, **{stable['label']}** is the most stable {ratio}"
    )
    if experiment.learns_concepts:
        curves = experiment.method_curves
        deletion = (curves["method"] == "contribution") & (curves["curve"] == "deletion")
        kept = curves["value"][deletion].iloc[-1]
        text += (
            " With all concepts set to their mean and the relevances held fixed, the predicted "
            f"class keeps a probability of {_minus(kept)} on average: that much of a prediction "
            "is in the relevances alone."
        )
    text += (
        f" The comparison covers {len(scores)} methods and {examples} test examples, for "
        f"{wording.counted(seeds, 'model')} with λ = {experiment.robust_reg:g}."
    )
    if len(costly := _costly(scores)):
        text += (
            f" {wording.listed(costly['label'].tolist())} run the model hundreds of times per "
            f"example, so they got {costly['examples'].max()} examples each."
        )
    return text


def _costly(scores: pd.DataFrame) -> pd.DataFrame:
    """The methods that are scored on fewer examples than others."""
    return scores[scores["examples"] < scores["examples"].max()]


def _rivals(group: pd.DataFrame, leader: str, name: str) -> str:
    """How many others could be as good as the `leader` of a score."""
    score = SCORES[name]
    alike = (best_of(score, group) | rivals_of(score, group)) & (group["method"] != leader)
    if not alike.any():
        return "told apart from all others"
    return f"not told apart from {wording.counted(int(alike.sum()), 'other')}"


def _scatter(experiment: ExperimentResults, scores: pd.DataFrame) -> Picture:
    figure = faithfulness_against_stability(scores, "Faithfulness against stability")
    values = [
        f"{_marked(row)} {_minus(row['faithfulness'])} and {_minus(row['lipschitz_local'])}"
        for row in scores.to_dict("records")
    ]
    alt = f"Faithfulness and local Lipschitz ratio of each method: {'; '.join(values)}."
    caption = (
        "Lower is more stable. Lines are 95 % intervals over test examples. "
        f"{REMOVES} removes the same parts as the measure of faithfulness, with the same baseline."
    )
    if experiment.learns_concepts:
        caption += " Methods that explain concepts are scored on concepts, not on pixels."
    return Picture(figure, f"methods_{experiment.name}", alt, caption)


def _curves(experiment: ExperimentResults) -> Picture:
    scores = experiment.methods
    families = dict(zip(scores["method"], scores["family"], strict=True))
    title = "Under deletion, insertion, noise and randomisation"
    alt = (
        "Curves of every method, a row of panels per family: probability of the predicted class "
        "under deletion and insertion, relative distance under noise, and rank correlation as "
        "layers are shuffled."
    )
    caption = (
        "Deletion should fall fast, insertion rise fast, noise stay low, randomisation fall to 0. "
        "Grey: the methods of the other rows."
    )
    few, examples = _costly(scores), scores["examples"].max()
    if len(few):
        caption += (
            f" {wording.listed(few['label'].tolist())}: {few['examples'].max()} examples each, all "
            f"others {examples}."
        )
    figure = method_curves(experiment.method_curves, families, title)
    return Picture(figure, f"method_curves_{experiment.name}", alt, caption)


@style.styled
def faithfulness_against_stability(scores: pd.DataFrame, title: str) -> Figure:
    """A named dot per method, with 95 % intervals both ways.

    Parameters
    ----------
    scores : one row per method: label, family, speaks_of, faithfulness and lipschitz_local, with
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
    axes.set_ylim(lowest - margin, highest + margin)
    style.number_ticks(axes.xaxis)
    axes.yaxis.set_major_formatter(lambda value, _: wording.number(round(value, 6)))
    axes.minorticks_off()
    axes.set_xlabel("local Lipschitz ratio")
    axes.set_ylabel("faithfulness")
    ordered = scores.sort_values("faithfulness", ascending=False, kind="stable")
    for rank, method in enumerate(ordered.to_dict("records")):
        colour = FAMILIES[method["family"]]
        x, y = method["lipschitz_local"], method["faithfulness"]
        thin: dict[str, Any] = {"color": colour, "linewidth": 0.6, "alpha": 0.45, "zorder": 2}
        axes.plot([method["lipschitz_local_low"], method["lipschitz_local_high"]], [y, y], **thin)
        axes.plot([x, x], [method["faithfulness_low"], method["faithfulness_high"]], **thin)
        filled = "white" if method["speaks_of"] == "concepts" else colour
        axes.plot(x, y, "o", color=colour, markerfacecolor=filled, markersize=4.5, zorder=3)
        # Names form a column in the order of the dots, each tied to its dot.
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
            left + width + 0.13,
            down,
            _marked(method),
            fontsize=7,
            va="center",
            color=style.readable(colour),
        )
        style.spot(
            axes,
            x,
            y,
            f"{_marked(method)}: faithfulness {_minus(y)}, Lipschitz ratio {_minus(x)}",
        )
    axes.set_facecolor("none")  # the ties are on the canvas below
    _family_key(paper, top + height + 0.62, scores)
    return figure


@style.styled
def method_curves(curves: pd.DataFrame, families: dict[str, str], title: str) -> Figure:
    """Every kind of curve for each family of methods, with all other methods in grey behind.

    Parameters
    ----------
    curves : one row per point: method, label, curve, position, value.
    families : that of every method; each gets a row of panels.
    """
    present = [family for family in FAMILIES if family in families.values()]
    names = {family: [m for m in families if families[m] == family] for family in present}
    labels = dict(zip(curves["method"], curves["label"], strict=True))
    left, first, panel, gap, line = 0.2, 0.24, 0.82, 0.28, 0.13
    keys = {family: line * -(-len(names[family]) // _KEY_COLUMNS) for family in present}
    height = first + sum(panel + 0.27 + key + 0.14 for key in keys.values()) + 0.1
    figure, paper = style.canvas(height, title)
    width = (style.WIDTH - left - 0.06) / len(_PANELS) - gap
    down = first
    for family in present:
        for column, kind in enumerate(_PANELS):
            axes = style.axes_at(figure, left + column * (width + gap), down, width, panel)
            _draw_curves(axes, curves[curves["curve"] == kind], names[family])
            if family == present[0]:
                axes.set_title(kind, fontsize=8)
            if family == present[-1]:
                axes.set_xlabel(_PANELS[kind], fontsize=7, labelpad=1)
        down += panel + 0.27 + (0.1 if family == present[-1] else 0)
        for index, name in enumerate(names[family]):
            x = 0.06 + index % _KEY_COLUMNS * style.WIDTH / _KEY_COLUMNS
            y = down + line * (index // _KEY_COLUMNS)
            paper.plot([x, x + 0.1], [y, y], linewidth=1.2, **_look(index))
            paper.text(x + 0.13, y, labels.get(name, name), fontsize=6.3, va="center")
        down += keys[family] + 0.14
    return figure


def _draw_curves(axes: Axes, curves: pd.DataFrame, methods: list[str]) -> None:
    points = {str(name): curve for name, curve in curves.groupby("method", sort=False)}
    looks = {name: {"linewidth": 1.1, **_look(index)} for index, name in enumerate(methods)}
    for name in sorted(points, key=lambda name: methods.index(name) if name in looks else -1):
        look = looks.get(name, {"color": style.FAINT, "linewidth": 0.6})
        axes.plot(points[name]["position"], points[name]["value"], **look)
    lowest, most = (float(curves["value"].quantile(share)) for share in (0, 0.98))
    axes.set_ylim(min(0.0, 1.1 * lowest), 1.06 * max(most, 1.0))
    axes.set_yticks([0, 1])
    axes.set_xticks(sorted({curves["position"].min(), curves["position"].max()}))
    style.number_ticks(axes.xaxis)
    axes.tick_params(labelsize=6.5)


def _look(index: int) -> dict[str, Any]:
    """How to draw the line of the method with this index in its family."""
    dashed = index >= len(_PALETTE)
    return {"color": _PALETTE[index % len(_PALETTE)], "linestyle": (0, (3, 1)) if dashed else "-"}


def _family_key(paper: Axes, down: float, scores: pd.DataFrame) -> None:
    x, present = 0.1, set(scores["family"])
    entries = [(name, colour, colour) for name, colour in FAMILIES.items() if name in present]
    if "concepts" in set(scores["speaks_of"]):
        entries.append(("hollow: concepts", style.GREY, "white"))
    for name, colour, filled in entries:
        paper.plot(x, down, "o", color=colour, markerfacecolor=filled, markersize=4)
        paper.text(x + 0.06, down, name, fontsize=6.8, va="center")
        x += 0.17 + 0.051 * len(name)
