"""Results as text and as a picture, and the machine they were measured on."""

import argparse
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from pipeline.core.processes import cores
from pipeline.reporting import style

_IDLE = 0.5  # processes that wanted to run, over the last minute
_NAMES = {"compas_senn": "COMPAS-SENN", "mnist_senn": "MNIST-SENN"}
_LINES = {
    "textbook": (style.INK, "--"),
    "banks, exact": (style.VERMILION, "o-"),
    "banks, 1 probe": (style.BLUE, "o-"),
}

Row = dict[str, Any]
Lines = dict[str, list[tuple[float, ...]]]
"""Points by label, each (x, y) or (x, y, low, high)."""


def significant(value: float) -> float:
    """`value` with four digits: no more were measured."""
    return float(f"{value:.4g}")


def parser(module: str, description: str | None) -> argparse.ArgumentParser:
    """The command line of ``python -m <module>``; has ``--device``."""
    made = argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    return made


def machine(device: torch.device) -> dict[str, str | int | None]:
    """Device, processor, cores this process may use, and versions; no dates, no host names."""
    on_gpu = device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if on_gpu else "cpu",
        "processor": _processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "cores": cores(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda if on_gpu else None,
        "system": platform.system(),
    }


def warn_if_busy() -> None:
    """Say on stderr that times will be worth nothing, if other processes want to run."""
    if (load := os.getloadavg()[0]) > _IDLE:
        print(
            f"This machine is busy (load {load:.1f}): times will vary widely and prove nothing.",
            file=sys.stderr,
            flush=True,
        )


def in_words(machine: dict[str, Any]) -> str:
    """The machine in one line."""
    where = f"{machine['processor']} ({machine['instructions']}), {machine['cores']} cores"
    if machine["device"] != "cpu":
        where = f"{machine['device']} (CUDA {machine['cuda']}), {where}"
    return f"{where}, torch {machine['torch']}, Python {machine['python']}, {machine['system']}"


def _processor() -> str:
    """The processor's name; Python itself only knows its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def tables(results: dict[str, Any]) -> str:
    """One table per section of the results, with the keys of the JSON file as columns."""
    sections: dict[str, Any] = {key: results[key] for key in ("steps", "growth") if key in results}
    if whole := results.get("end_to_end"):
        grids = [{"method": "pipeline", **row} for row in whole["grids"]]
        sections["end_to_end"] = [{"method": "textbook", **whole["textbook"]}, *grids]
    parts = [f"Measured on: {in_words(results['machine'])}."]
    for name, rows in sections.items():
        parts.append(f"{name}:\n{text(pd.DataFrame(rows, dtype=object))}")
    return "\n\n".join(parts)


def text(table: pd.DataFrame) -> str:
    """`table` for a terminal, without its index; floats with six digits, ``–`` for no value."""
    return table.to_string(index=False, na_rep="–", float_format="{:g}".format)


@style.styled
def picture(results: dict[str, Any]) -> Figure:
    """A panel for each thing that was measured; every axis is logarithmic."""
    panels = list(_panels(results))
    rows = -(-len(panels) // 2)
    title = f"What training costs on {in_words(results['machine'])}"
    figure = style.new_figure(1.4 + 1.75 * rows, title, width=6)
    handles = {}
    for axes in figure.subplots(rows, 2, squeeze=False).flat:
        if not panels:
            axes.set_axis_off()
            continue
        title, labels, lines = panels.pop(0)
        axes.set(xscale="log", yscale="log", title=title)
        axes.set(xlabel=labels[0], ylabel=labels[1])
        for label, points in lines.items():
            colour, look = _LINES[label]
            xs, ys = zip(*(point[:2] for point in points), strict=True)
            (handles[label],) = axes.plot(xs, ys, look, color=colour, label=label)
            for x, _, *ends in points:
                if ends:
                    axes.vlines(x, *ends, color=colour)
        ticks = sorted({point[0] for points in lines.values() for point in points})
        axes.set_xticks(ticks, map(str, ticks))
        axes.minorticks_off()
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4)
    return figure


def _panels(results: dict[str, Any]) -> Iterator[tuple[str, tuple[str, str], Lines]]:
    """Title, labels of the axes, and the lines, of each panel."""
    ms = "ms per step and model"
    for experiment, name in _NAMES.items():
        rows = [row for row in results.get("steps", []) if row["experiment"] == experiment]
        if not rows:
            continue
        # The first row is what the others are compared with; a second one is a textbook per core.
        book, *ways = rows
        banks = [row for row in ways if row["method"] == "pipeline"]
        widths = sorted({row["width"] for row in banks})
        lines: Lines = {"textbook": [(width, book["ms"]) for width in widths]}
        for label, probes in (("banks, exact", "exact"), ("banks, 1 probe", 1)):
            lines[label] = [
                (row["width"], row["ms"], row["ms_low"], row["ms_high"])
                for row in banks
                if row["probes"] == probes
            ]
        yield f"{name}, batch 200", ("models in a bank", ms), lines
    if "end_to_end" in results:
        whole, book = results["end_to_end"], results["end_to_end"]["textbook"]
        per_run = book["seconds"] / book["cells"]
        lines = {
            "textbook": [(row["cells"], per_run * row["cells"]) for row in whole["grids"]],
            "banks, exact": [(row["cells"], row["seconds"]) for row in whole["grids"]],
        }
        yield f"COMPAS grids, {whole['epochs']} epochs", ("cells", "seconds"), lines
    for along, other in (("classes", "5 concepts"), ("concepts", "10 classes")):
        rows = [row for row in results.get("growth", []) if row["along"] == along]
        if rows:
            keys = zip(_LINES, ("textbook_ms", "exact_ms", "probes_1_ms"), strict=True)
            lines = {label: [(row[along], row[key]) for row in rows] for label, key in keys}
            yield f"MNIST-SENN, {other}", (along, ms), lines
