"""The results as one picture."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from benchmarks.machine import in_words
from pipeline.reporting import style

TEXTBOOK, EXACT, PROBE = style.INK, style.VERMILION, style.BLUE
_MS = "ms per step and model"


@style.styled
def speed_figure(results: dict[str, Any]) -> Figure:
    """A panel for each thing that was measured; every axis is logarithmic."""
    panels = _panels(results)
    rows = -(-len(panels) // 2)
    title = f"What training costs on {in_words(results['machine'])}"
    figure = style.new_figure(1.4 + 1.75 * rows, title, width=6)
    for axes, (title, draw) in zip(
        figure.subplots(rows, 2, squeeze=False).flat, panels, strict=False
    ):
        axes.set(xscale="log", yscale="log", title=title)
        draw(axes)
        axes.minorticks_off()
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
    for axes in figure.axes[len(panels) :]:
        axes.set_axis_off()
    handles = {
        label: handle
        for axes in figure.axes
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4)
    return figure


def _panels(results: dict[str, Any]) -> list[tuple[str, Callable[[Axes], None]]]:
    panels: list[tuple[str, Callable[[Axes], None]]] = []
    steps = results.get("steps", [])
    for name, title in (("compas_senn", "COMPAS-SENN"), ("mnist_senn", "MNIST-SENN")):
        rows = [row for row in steps if row["experiment"] == name]
        if rows:
            panels.append((f"{title}, batch 200", partial(_widths, rows=rows)))
    if "end_to_end" in results:
        whole = results["end_to_end"]
        panels.append((f"COMPAS grids, {whole['epochs']} epochs", partial(_grids, whole=whole)))
    for along, other in (("classes", "5 concepts"), ("concepts", "10 classes")):
        rows = [row for row in results.get("growth", []) if row["along"] == along]
        if rows:
            title = f"MNIST-SENN, {other}"
            panels.append((title, partial(_growth, rows=rows, along=along)))
    return panels


def _widths(axes: Axes, rows: Sequence[dict[str, Any]]) -> None:
    measured = [row for row in rows if "ms" in row]
    # The first is what the others are compared with; a second is one on every core.
    textbook = next(row for row in measured if row["method"] == "textbook")
    axes.axhline(textbook["ms"], color=TEXTBOOK, linestyle="--", label="textbook")
    for probes, colour, label in (("exact", EXACT, "banks, exact"), (1, PROBE, "banks, 1 probe")):
        line = [row for row in measured if row.get("probes") == probes]
        widths, times = [row["width"] for row in line], [row["ms"] for row in line]
        errors = (
            [row["ms"] - row["ms_low"] for row in line],
            [row["ms_high"] - row["ms"] for row in line],
        )
        axes.errorbar(widths, times, errors, color=colour, marker="o", label=label)
    _ticks(axes, sorted({row["width"] for row in measured if "width" in row}))
    axes.set(xlabel="models in a bank", ylabel=_MS)


def _grids(axes: Axes, whole: dict[str, Any]) -> None:
    cells = [row["cells"] for row in whole["grids"]]
    per_run = whole["textbook"]["seconds"] / whole["textbook"]["cells"]
    axes.plot(cells, [per_run * n for n in cells], color=TEXTBOOK, linestyle="--", label="textbook")
    seconds = [row["seconds"] for row in whole["grids"]]
    axes.plot(cells, seconds, color=EXACT, marker="o", label="banks, exact")
    _ticks(axes, cells)
    axes.set(xlabel="cells", ylabel="seconds")


def _growth(axes: Axes, rows: Sequence[dict[str, Any]], along: str) -> None:
    numbers = [row[along] for row in rows]
    for key, colour, label in (
        ("textbook_ms", TEXTBOOK, "textbook"),
        ("exact_ms", EXACT, "banks, exact"),
        ("probes_1_ms", PROBE, "banks, 1 probe"),
    ):
        look = "--" if key == "textbook_ms" else "-"
        times = [row[key] for row in rows]
        axes.plot(numbers, times, color=colour, linestyle=look, marker="o", label=label)
    _ticks(axes, numbers)
    axes.set(xlabel=along, ylabel=_MS)


def _ticks(axes: Axes, values: Sequence[int]) -> None:
    axes.set_xticks(values, [str(value) for value in values])
