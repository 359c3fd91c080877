"""The results as text: Markdown tables that are also read in a terminal."""

from collections.abc import Sequence
from typing import Any

from benchmarks.machine import in_words

_NAMES = {"compas_senn": "COMPAS-SENN", "mnist_senn": "MNIST-SENN"}
_NONE = "–"


def tables(results: dict[str, Any]) -> str:
    """All that was measured."""
    parts = [f"Measured on: {in_words(results['machine'])}."]
    if "steps" in results:
        parts.append(_steps(results["steps"]))
    if "end_to_end" in results:
        parts.append(_end_to_end(results["end_to_end"]))
    if "growth" in results:
        parts.append(_growth(results["growth"]))
    return "\n\n".join(parts)


def markdown(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A Markdown table, its columns aligned."""
    lines = [list(head), *map(list, body)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| " + " | ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) + " |"
        for line in lines
    )


def _steps(rows: Sequence[dict[str, Any]]) -> str:
    head = [
        *("batches of 200", "robustness loss", "models in a bank", "processes × threads"),
        *("ms per step and model", "range", "peak MiB per process", "× textbook"),
    ]
    return markdown(head, [_step(row) for row in rows])


def _step(row: dict[str, Any]) -> list[str]:
    bank = ["textbook, exact", _NONE]
    if row["method"] == "pipeline":
        bank = [_probes(row["probes"]), str(row["width"])]
    if "skipped" in row:
        measured = [_NONE, _NONE, row["skipped"], _NONE, _NONE]
    else:
        measured = [
            f"{row['processes']} × {row['threads']}",
            f"{row['ms']:.3g}",
            f"{row['ms_low']:.3g} … {row['ms_high']:.3g}",
            str(row["peak_mib"]),
            f"{row.get('faster', 1):.3g}",
        ]
    return [_NAMES[row["experiment"]], *bank, *measured]


def _end_to_end(whole: dict[str, Any]) -> str:
    head = [
        *(f"COMPAS-SENN, {whole['epochs']} epochs", "cells", "seconds", "range"),
        *("of which training", "peak MiB, all processes", "× textbook, per cell"),
    ]
    book = whole["textbook"]
    how = f"textbook, one after the other ({book['runs_measured']} runs measured"
    how += ", extrapolated)" if book["extrapolated"] else ")"
    seconds, training = f"{book['seconds']:.3g}", f"{book['training']:.3g}"
    body = [[how, str(book["cells"]), seconds, _NONE, training, _NONE, "1"]]
    for row in whole["grids"]:
        per_cell = book["seconds"] / book["cells"] / (row["seconds"] / row["cells"])
        peak = row["peak_mib_all_processes"]
        body.append(
            [
                "pipeline",
                str(row["cells"]),
                f"{row['seconds']:.3g}",
                f"{row['seconds_low']:.3g} … {row['seconds_high']:.3g}",
                f"{row['training']:.3g}",
                _NONE if peak is None else str(peak),
                f"{per_cell:.3g}",
            ]
        )
    return markdown(head, body)


def _growth(rows: Sequence[dict[str, Any]]) -> str:
    head = [
        *("MNIST-SENN: classes", "concepts", "textbook, ms per step and model"),
        *(f"exact, banks of {rows[0]['width']}", f"1 probe, banks of {rows[0]['width']}"),
    ]
    keys = ("textbook_ms", "exact_ms", "probes_1_ms")
    body = [
        [str(row["classes"]), str(row["concepts"]), *(f"{row[key]:.3g}" for key in keys)]
        for row in rows
    ]
    return markdown(head, body)


def _probes(probes: str | int) -> str:
    return "exact" if probes == "exact" else f"{probes} probe{'' if probes == 1 else 's'}"
