"""The report's section on SENN beside other methods: the paper's figures 3, 4, 5C and 10."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pipeline.claims import wording
from pipeline.claims.results import Results
from pipeline.claims.rivals import (
    CONTESTS,
    Bout,
    Contest,
    Judged,
    Setting,
    judge_contest,
)
from pipeline.reporting import style
from pipeline.reporting.common import section
from pipeline.reporting.display import Part, Picture, Prose, Table
from pipeline.reporting.method_scores import REMOVES
from pipeline.rivals.methods import CONTRIBUTION, RIVALS, SENN

_MARKS: dict[str, dict[str, Any]] = {
    "paper": {"marker": "o", "mfc": "white", "color": style.BLUE, "markersize": 7,
              "label": "the paper’s protocol"},  # larger, so that it is seen around an equal one
    "fair": {"marker": "o", "color": style.BLUE, "label": "the fair protocol"},
    "gradient": {"marker": "|", "color": style.INK, "markersize": 7, "label": "gradient ascent"},
}  # fmt: skip
_SAME = "stability-digit"  # the same comparisons as stability-mnist
_EQUATION_5 = ("equation 5", "Estimates of equation 5")
_DOTS = (  # number, claims, title, what is on the axis, the same in the alternative text, caption
    ("4", (_SAME,), "stability on a digit", *_EQUATION_5,
     "The published numbers are of one digit; ours are medians over digits."),
    ("5C", ("stability-uci", "stability-mnist"), "stability by table and method", *_EQUATION_5,
     "Medians over anchors. The paper’s figure has no numbers to read off."),
    ("10", ("stability-compas",), "worst stability on COMPAS", "equation 6",
     "The largest ratio of equation 6",
     "Nothing is searched here: the protocols differ in how samples are drawn."),
)  # fmt: skip
_LINES = (
    "Lines are 95 % intervals over seeds and points, cut off at a tenth of the value. Explanations "
    "are on their own scales, as in the paper."
)


class Row(NamedTuple):
    """A method in a figure: its name, its rows of the table by setting, what was published."""

    label: str
    measured: Mapping[str, Mapping[Any, Any]]
    published: float | None


@section("This run compares no methods (`rivals.experiments`).")
def paper_figures(results: Results) -> Iterator[Part]:
    """Findings, verdicts by table, and the figures."""
    bouts = {
        name: bout
        for name, contest in CONTESTS.items()
        if (bout := judge_contest(contest, results.rivals)) is not None
    }
    if not bouts:
        return
    yield Prose(findings(bouts))
    yield Prose(noise_and_gradients(results.rivals))
    for name, bout in bouts.items():
        if name != _SAME:
            yield Prose(f"### {name}")
            yield _verdicts(bout)
    yield from _pictures(results, bouts)


def findings(bouts: Mapping[str, Bout]) -> str:
    """What is true in the paper's setting, on some table, and not in a fair one; then all else."""
    changed: list[str] = []
    others: list[str] = []
    for name, bout in bouts.items():
        if name == _SAME:
            continue
        paper, *fairer = bout.settings
        told = "; ".join(_told(bout, one) for one in (paper, *fairer))
        tables = [
            table
            for table in bout.contest.experiments
            if bout.outcome(paper, table) == "reproduced"
            and any(bout.outcome(one, table) != "reproduced" for one in fairer)
        ]
        if tables:
            changed.append(f"- **{name}**, on {wording.listed(tables)}: {told}.")
        else:
            others.append(f"- **{name}**: {told}.")
    heading = "Holds in the paper’s setting, on some tables at least, but not in every fair one"
    lines = [f"**{heading}:**", "", *changed] if changed else [f"**{heading}:** no claim."]
    return "\n".join([*lines, *(["", "The others:", "", *others] if others else [])])


def _told(bout: Bout, setting: Setting) -> str:
    """``*same search* is undecided (holds on 1 of 2 tables; LIME on uci_heart ×0.88 (…))``."""
    here = [one for one in bout.judged if one.setting == setting]
    outcome = bout.outcome(setting)
    end = "high" if outcome == "not reproduced" else "low"
    worst = min(here, key=lambda one: float(getattr(one.behind, end)))
    tables = list(dict.fromkeys(one.experiment for one in here))
    held = sum(bout.outcome(setting, name) == "reproduced" for name in tables)
    count = f"holds on {held} of {len(tables)} tables; " if len(tables) > 1 else ""
    at = f"{RIVALS[worst.rival].label} on {worst.experiment} {_behind(worst, bout)}"
    return f"*{setting.name}* {wording.OUTCOMES[outcome]} ({count}{at})"


def noise_and_gradients(tables: Mapping[str, pd.DataFrame]) -> str:
    """What redrawing the samples does to LIME and SHAP, and gradients to SENN, as factors."""
    factors: dict[str, list[float]] = {}
    for table in tables.values():
        local = table[(table["measure"] == "local") & (table["scale"] == "raw")]
        values = local.set_index(["setting", "method"])["value"].to_dict()
        for setting, name in (("paper", "lime"), ("paper", "kernel_shap"), ("gradient", SENN)):
            if values.get(("fair", name), 0) > 0:
                factor = values[setting, name] / values["fair", name]
                factors.setdefault(name, []).append(factor)
    steeper = factors.pop(SENN, None)
    sentences = []
    if factors:
        redrawn = [f"{RIVALS[name].label} ×{_range(of_it)}" for name, of_it in factors.items()]
        sentences.append(
            "Estimates of equation 5 in the paper’s protocol over those with the same search and "
            f"the samples drawn once, by experiment: {wording.listed(redrawn)}."
        )
    if steeper:
        sentences.append(
            f"For SENN’s relevances, gradient ascent finds ×{_range(steeper)} of what the "
            "black-box search finds."
        )
    return " ".join(sentences)


def _range(values: Sequence[float]) -> str:
    return f"{wording.significant(min(values), 2)} to {wording.significant(max(values), 2)}"


def _behind(one: Judged, bout: Bout) -> str:
    """``×1.8 (1.2 to 2.7)``: by what factor, or how far, the rival is behind SENN."""
    here = one.behind
    if math.isnan(here.mean):
        return wording.MISSING
    if bout.contest.measure != "faithfulness":
        mean, low, high = (wording.significant(10**value, 2) for value in here)
        return f"×{mean} ({low} to {high})"
    mean, low, high = (wording.minus(f"{value:+.2f}") for value in here)
    return f"{mean} ({low} to {high})"


def _short(value: float) -> str:
    return wording.MISSING if math.isnan(value) else wording.significant(value, 2)


def _verdicts(bout: Bout) -> Table:
    """A column a setting; of each table the verdict, then how far every method is behind SENN."""
    settings, rows = bout.settings, []
    for experiment in bout.contest.experiments:
        outcomes = [bout.outcome(setting, experiment) for setting in settings]
        rows.append([experiment, "verdict", *outcomes])
        behind = {
            (one.setting, one.rival): _behind(one, bout)
            for one in bout.judged
            if one.experiment == experiment
        }
        for rival in dict.fromkeys(rival for _, rival in behind):
            values = [behind.get((setting, rival), wording.MISSING) for setting in settings]
            rows.append(["", RIVALS[rival].label, *values])
    together = ["together", "verdict", *(bout.outcome(setting) for setting in settings)]
    head = ["", "SENN against", *(setting.name for setting in settings)]
    return Table(head, [*rows, together], kind="wide")


def _pictures(results: Results, bouts: Mapping[str, Bout]) -> Iterator[Part]:
    tables = results.rivals
    if "faithfulness-uci" in bouts:
        contest = bouts["faithfulness-uci"].contest
        groups = {name: _rows(tables[name], contest) for name in contest.experiments}
        yield Picture(
            boxes(groups, "Figure 3: faithfulness on UCI tables"),
            "paper_figure_3",
            _alt(groups, "Correlation of relevance with the drop of the probability"),
            "Bars reach from the lower to the upper quartile over examples and models, dots are "
            "means. Hollow: SENN’s relevance is set to 0, as published. Filled: features are set "
            f"to their training median, for all. {REMOVES} removes the same features itself. The "
            "paper has box plots without numbers, so none are shown.",
        )
    for number, claims, title, axis, alt, caption in _DOTS:
        groups = {
            name if len(claims) > 1 else "": _rows(tables[name], bouts[claim].contest)
            for claim in claims
            if claim in bouts
            for name in bouts[claim].contest.experiments
        }
        if groups:
            yield Picture(
                dots(groups, f"Figure {number}: {title}", axis),
                f"paper_figure_{number.lower()}",
                _alt(groups, alt),
                f"{caption} {_LINES}",
            )


def _rows(table: pd.DataFrame, contest: Contest) -> list[Row]:
    """SENN first, then the contest's rivals."""
    chosen = table[(table["measure"] == contest.measure) & (table["scale"] == "raw")]
    rows = []
    for method in (SENN, CONTRIBUTION, *contest.rivals):
        of_method = chosen[chosen["method"] == method].to_dict("records")
        mark = f" {REMOVES}" * (contest.measure == "faithfulness" and RIVALS[method].by_removal)
        by_setting = {str(row["setting"]): dict(row) for row in of_method}
        label = RIVALS[method].label + mark
        rows.append(Row(label, by_setting, contest.published.get(method)))
    return rows


def _alt(groups: Mapping[str, Sequence[Row]], what: str) -> str:
    values = [
        f"{f'{name}, ' if name else ''}{row.label}: "
        + ", ".join(f"{_short(one['value'])} ({setting})" for setting, one in row.measured.items())
        for name, rows in groups.items()
        for row in rows
    ]
    return f"{what}. {'; '.join(values)}."


@style.styled
def dots(groups: Mapping[str, Sequence[Row]], title: str, what: str) -> Figure:
    """A row a method, in groups, on a logarithmic axis: what was measured, and published."""
    figure, axes = _rows_of(groups, title)
    axes.set_xscale("log")
    axes.set_xlabel(f"{what} (lower is more stable)")
    for _, place, row in _places(groups):
        for setting, look in _MARKS.items():
            if one := row.measured.get(setting):
                low = max(one["value_low"], 0.1 * one["value"])  # the axis has no 0
                if setting != "gradient":
                    ends = [low, one["value_high"]]
                    axes.plot(ends, [place, place], color=style.LIGHT_BLUE, linewidth=2, zorder=1)
                axes.plot(one["value"], place, linestyle="", zorder=3, **look)
        if row.published is not None:
            axes.plot(row.published, place, "^", color=style.GREEN, zorder=2)
    style.number_ticks(axes.xaxis)
    _key(figure, groups)
    return figure


@style.styled
def boxes(groups: Mapping[str, Sequence[Row]], title: str) -> Figure:
    """A row a method, in groups: quartiles and means of correlations."""
    figure, axes = _rows_of(groups, title)
    axes.set_xlim(-1.02, 1.02)
    axes.axvline(0, color=style.FAINT, linewidth=0.8, zorder=0)
    axes.set_xlabel("correlation with the probability’s drop (higher is better)")
    for _, place, row in _places(groups):
        for setting, shift in (("paper", -0.17), ("fair", 0.17)):
            one = row.measured[setting]
            ends = [one["lower_quartile"], one["upper_quartile"]]
            at = place + shift
            axes.plot(ends, [at, at], color=style.LIGHT_BLUE, linewidth=2.5, zorder=1)
            axes.plot(
                one["value"], at, linestyle="", zorder=3, **_MARKS[setting] | {"markersize": 4}
            )
    style.number_ticks(axes.xaxis)
    return figure


def _rows_of(groups: Mapping[str, Sequence[Row]], title: str) -> tuple[Figure, Axes]:
    shown = list(_places(groups))
    places = [place for _, place, _ in shown]
    figure = style.new_figure(1.2 + 0.17 * (places[-1] + 1), title)
    axes = figure.subplots()
    style.name_rows(axes, [row.label for *_, row in shown], places, 7)
    axes.set_ylim(places[-1] + 0.6, -0.7 if "" in groups else -1.4)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color=style.FAINT, linewidth=0.5)
    for name, place in {name: place for name, place, _ in reversed(shown)}.items():
        axes.text(0.0, place - 0.95, name, transform=axes.get_yaxis_transform(), fontsize=7.5,
                  color=style.GREY, va="center")  # fmt: skip
    return figure, axes


def _places(groups: Mapping[str, Sequence[Row]]) -> Iterator[tuple[str, float, Row]]:
    """Every row's group and place from the top; a line is free above each group but a lone one."""
    place = 0.0
    for name, rows in groups.items():
        for row in rows:
            yield name, place, row
            place += 1
        place += 1.3


def _key(figure: Figure, groups: Mapping[str, Sequence[Row]]) -> None:
    rows = [row for rows in groups.values() for row in rows]
    handles = [
        Line2D([], [], linestyle="", **look)
        for setting, look in _MARKS.items()
        if any(setting in row.measured for row in rows)
    ]
    if any(row.published is not None for row in rows):
        handles.append(Line2D([], [], linestyle="", marker="^", color=style.GREEN, label="paper"))
    figure.legend(handles=handles, loc="outside lower center", ncols=2, columnspacing=1.2)
