"""The report's first section: what the run is, and its verdict on every published claim."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from pipeline.claims.results import Results
from pipeline.claims.verdicts import Verdict, from_table
from pipeline.metrics.collapse import collapse_note
from pipeline.reporting import style, wording
from pipeline.reporting.common import Part
from pipeline.reporting.display import Picture, Prose, Several, Table
from pipeline.reporting.wording import lambda_label

_MARKS = {"reproduced": "✓", "not reproduced": "✗", "not tested": "○"}
_SOURCES = {"review": (style.VERMILION, "D"), "paper": (style.GREEN, "^")}
_ABOVE = 0.33  # rows between a published number and the one measured below it
_COUNTS = {
    "reproduced": "reproduces {}",
    "not reproduced": "does not reproduce {}",
    "not tested": "cannot test {}",
    "left to the reader": "leaves {} for the reader to judge",
}


def lead(results: Results) -> Prose:
    """The verdicts in one sentence, and what this run is."""
    params = results.params
    statuses = results.verdicts["verdict"].tolist()
    counts = [
        words.format(statuses.count(status))
        for status, words in _COUNTS.items()
        if status in statuses
    ]
    models = sum(len(experiment.cells) for experiment in results.experiments.values())
    grids = {params.lambdas(name) for name in results.experiments}
    counts_of_seeds = {len(experiment.seeds) for experiment in results.experiments.values()}
    trained = [
        f"{e.settings.model_class} on {e.settings.dataset}"
        + ("" if len(grids) == 1 else f" (λ = {wording.lambdas(params.lambdas(name))})")
        + ("" if len(counts_of_seeds) == 1 else f" ({wording.counted(len(e.seeds), 'seed')})")
        for name, e in results.experiments.items()
    ]
    together = f", with λ = {wording.lambdas(*grids)}" if len(grids) == 1 else ""
    if len(counts_of_seeds) == 1:
        together += f", {wording.counted(max(counts_of_seeds), 'seed')} each"
    data = {e.settings.dataset: e.data for e in results.experiments.values()}
    sizes = [f"{len(d.train):,} and {len(d.test):,} ({name})" for name, d in data.items()]
    first_seeds = " or ".join(dict.fromkeys(str(e.seeds[0]) for e in results.experiments.values()))
    robustness = params.robustness
    probes = (
        "computed exactly"
        if robustness.probes == "exact"
        else f"estimated with {wording.counted(robustness.probes, 'random probe')} per example"
    )
    return Prose(
        f"**Of {len(statuses)} published claims, this run {wording.listed(counts)}.** It trained "
        f"{wording.counted(models, 'model')}: {wording.listed(trained)}{together}. "
        f"Training and test examples: {wording.listed(sizes)}. The robustness loss in training is "
        f"`{robustness.variant}`, {probes}. Where results are for one λ, it is "
        f"{lambda_label(params.robust_reg)}; where they are for one model, its seed is the first, "
        f"{first_seeds}."
    )


def claims(results: Results) -> Several:
    """All claims: figure and table."""
    verdicts = from_table(results.verdicts)
    measured = [v for v in verdicts if v.here is not None and v.claim.low is not None]
    parts: list[Part] = []
    if measured:
        tested = sum(verdict.status != "not tested" for verdict in measured)
        parts.append(
            Picture(
                claims_at_a_glance(measured, "Published numbers and this run’s intervals"),
                "claims",
                f"Dot plot of {len(measured)} published accuracies beside the 95 % intervals of "
                "this run; the table below has the same numbers.",
                f"{wording.counted(tested, 'claim')} tested: ✓ reproduced, ✗ not reproduced, ○ not "
                "tested. Blue lines are 95 % intervals. Rows are the claims of the table below.",
            )
        )
    rows = [_claim_row(verdict, results) for verdict in verdicts]
    header = ("claim", "λ", "published", "this run", "verdict")
    return Several([*parts, Table(header, rows, kind="claims")])


def _collapse_note(verdict: Verdict, results: Results) -> str:
    """A sentence if the verdict rests on models that collapsed."""
    claim = verdict.claim
    if verdict.here is None or claim.experiment not in results.experiments:
        return ""
    cells = results.experiments[claim.experiment].cells
    regs, lambdas = cells["robust_reg"], claim.lambdas or (results.params.robust_reg,)
    if claim.kind == "every accuracy":
        return collapse_note(cells[regs.between(min(lambdas), max(lambdas))])
    close = [np.isclose(regs, value, rtol=1e-6, atol=0) for value in lambdas]
    return collapse_note(cells[np.logical_or.reduce(close)])


def _claim_row(verdict: Verdict, results: Results) -> tuple[str, ...]:
    claim, here = verdict.claim, verdict.here
    if here is None:
        measured = wording.MISSING
    elif claim.kind == "qualitative":
        measured = f"{here.mean:.2f}\n{wording.bounds(here)}"
    elif claim.kind == "accuracy lost":
        measured = f"{wording.points(here.mean)} points\n{wording.bounds(here, 100, 1)}"
    else:
        measured = f"{wording.percent(here.mean)}\n{wording.bounds(here, 100, 1)}"
    note = _collapse_note(verdict, results)
    row = (
        f"{claim.text}\n{claim.id}",
        " to ".join(lambda_label(value) for value in claim.lambdas or (results.params.robust_reg,)),
        f"{claim.published}\n{claim.source}",
        measured,
        "\n".join(filter(None, (verdict.status, verdict.reason, verdict.remark, note))),
    )
    return tuple(text.replace(" %", "\u00a0%").replace(" λ", "\u00a0λ") for text in row)


@style.styled
def claims_at_a_glance(verdicts: Sequence[Verdict], title: str) -> Figure:
    """A row per claim that has both a published number and one of this run.

    This run's mean is filled if it tests the claim, hollow if it does not.
    """
    figure = style.new_figure(0.95 + 0.34 * len(verdicts), title)
    axes = figure.subplots()
    for row, verdict in enumerate(verdicts):
        claim, here = verdict.claim, verdict.here
        assert here is not None and claim.low is not None and claim.high is not None
        colour, marker = _SOURCES[claim.source]
        above = [row - _ABOVE] * 2
        published: dict = {"color": colour, "linewidth": 5, "alpha": 0.35}
        axes.plot([claim.low, claim.high], above, solid_capstyle="butt", zorder=1, **published)
        middle = (claim.low + claim.high) / 2
        axes.plot(middle, above[0], marker, color=colour, markersize=5, zorder=4)
        axes.plot([here.low, here.high], [row, row], color=style.BLUE, linewidth=2.2, zorder=2)
        face = "white" if verdict.status == "not tested" else style.BLUE
        axes.plot(here.mean, row, "o", color=style.BLUE, mfc=face, markersize=6, zorder=3)
    labels = [f"{verdict.claim.id}  {_MARKS[verdict.status]}" for verdict in verdicts]
    axes.set_yticks(np.arange(len(verdicts)), labels)
    axes.set_ylim(len(verdicts) - 0.5, -0.7)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="y", color=style.FAINT, linewidth=0.5)
    axes.set_xlim(min(0, *(verdict.here.low for verdict in verdicts if verdict.here)) - 0.01, 1.02)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
    handles = [
        Line2D([], [], color=style.BLUE, marker="o", label="this run"),
        Line2D([], [], color=style.BLUE, marker="o", mfc="white", label="this run (not tested)"),
        *(
            Line2D([], [], color=colour, marker=marker, linestyle="", label=source)
            for source, (colour, marker) in _SOURCES.items()
        ),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, columnspacing=1.2)
    return figure
