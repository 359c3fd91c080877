"""All quantitative claims at a glance: published numbers beside this run's intervals."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from pipeline.reporting import style
from pipeline.reporting.verdicts import Verdict

_MARKS = {"reproduced": "✓", "not reproduced": "✗", "not tested": "○"}
_SOURCES = {"review": (style.VERMILION, "D"), "paper": (style.GREEN, "^")}
_ABOVE = 0.33  # rows, by which what was published is above what was measured


@style.styled
def claims_at_a_glance(verdicts: Sequence[Verdict], title: str) -> Figure:
    """A row per claim that has a published number and one of this run.

    This run's interval is filled where it judges the claim, hollow where it only stands in for it.
    """
    figure = style.new_figure(0.95 + 0.34 * len(verdicts), title)
    axes = figure.subplots()
    for row, verdict in enumerate(verdicts):
        claim, here = verdict.claim, verdict.here
        assert here is not None and claim.low is not None and claim.high is not None
        tested = verdict.status != "not tested"
        axes.plot([here.low, here.high], [row, row], color=style.BLUE, linewidth=2.2, zorder=2)
        axes.plot(
            here.mean,
            row,
            "o",
            color=style.BLUE,
            mfc=style.BLUE if tested else "white",
            markersize=6,
            zorder=3,
        )
        colour, marker = _SOURCES[claim.source]
        above = row - _ABOVE
        axes.plot(
            [claim.low, claim.high],
            [above, above],
            color=colour,
            linewidth=5,
            alpha=0.35,
            solid_capstyle="butt",
            zorder=1,
        )
        axes.plot((claim.low + claim.high) / 2, above, marker, color=colour, markersize=5, zorder=4)
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
        Line2D([], [], color=style.BLUE, marker="o", mfc="white", label="on a stand-in dataset"),
        *(
            Line2D([], [], color=colour, marker=marker, linestyle="", label=source)
            for source, (colour, marker) in _SOURCES.items()
        ),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, columnspacing=1.2)
    return figure
