"""The command: what is measured, printed as tables, and written as JSON and a picture."""

import argparse
import os
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.end_to_end import time_grids
from benchmarks.growth import time_growth
from benchmarks.machine import describe, in_words
from benchmarks.plot import speed_figure
from benchmarks.problems import compas, mnist
from benchmarks.settings import FULL, QUICK
from benchmarks.steps import time_steps
from benchmarks.tables import tables
from pipeline.core.device import choose_device
from pipeline.core.files import atomic_path, write_json
from pipeline.reporting.style import png

SECTIONS = ("steps", "end_to_end", "growth")
RESULTS = Path(__file__).parent / "results"
_IDLE = 0.5  # processes that wanted to run, over the last minute


def main() -> None:
    """Print the tables; a whole run also writes ``<output>/<cpu or cuda>.{json,png}``."""
    options = _options()
    device, settings = choose_device(options.device), QUICK if options.quick else FULL
    say = partial(print, file=sys.stderr, flush=True)
    results: dict[str, Any] = {"machine": describe(device)}
    say(in_words(results["machine"]))
    if (load := os.getloadavg()[0]) > _IDLE:
        say(f"This machine is busy (load {load:.1f}): expect wide ranges, and believe no number.")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        table = compas(folder)
        if "steps" in options.only:
            problems = (table, mnist(folder, device.type))
            results["steps"] = time_steps(problems, device, settings, say)
        if "end_to_end" in options.only:
            results["end_to_end"] = time_grids(table, folder, device, settings, say)
        if "growth" in options.only:
            results["growth"] = time_growth(folder, device, settings, say)
    print(tables(results))
    if options.output is not None:
        write_json(options.output / f"{device.type}.json", results)
        with atomic_path(options.output / f"{device.type}.png") as temporary:
            temporary.write_bytes(png(speed_figure(results)))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--quick", action="store_true", help="little of everything, once")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS)
    parser.add_argument(
        "--output",
        type=Path,
        help="folder for JSON and picture; for a whole run benchmarks/results, otherwise none",
    )
    options = parser.parse_args()
    whole = not options.quick and set(options.only) == set(SECTIONS)
    if options.output is None and whole:
        options.output = RESULTS
    return options
