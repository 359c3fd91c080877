"""Time training against the textbook: tables on the terminal, JSON and a picture in a folder."""

import argparse
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.measure import compas, mnist
from benchmarks.report import in_words, machine, parser, picture, tables, warn_if_busy
from benchmarks.timings import FULL, ON_GPU, QUICK, time_grids, time_growth, time_steps
from pipeline.core.device import choose_device
from pipeline.core.files import write_bytes, write_json
from pipeline.core.stage import run_stage
from pipeline.reporting.style import png

SECTIONS = ("steps", "end_to_end", "growth")
RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Print the tables; a complete run also writes ``<output>/<cpu or cuda>.{json,png}``."""
    options = _options()
    device = choose_device(options.device)
    settings = QUICK if options.quick else ON_GPU if device.type == "cuda" else FULL
    say = partial(print, file=sys.stderr, flush=True)
    results: dict[str, Any] = {"machine": machine(device)}
    say(in_words(results["machine"]))
    warn_if_busy()
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
        write_bytes(options.output / f"{device.type}.png", png(picture(results)))


def _options() -> argparse.Namespace:
    known = parser("benchmarks", __doc__)
    known.add_argument("--quick", action="store_true", help="a little of everything, once")
    known.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS)
    words = "folder for JSON and picture: benchmarks/results after a complete run, otherwise none"
    known.add_argument("--output", type=Path, help=words)
    options = known.parse_args()
    if options.output is None and not options.quick and set(options.only) == set(SECTIONS):
        options.output = RESULTS
    return options


if __name__ == "__main__":
    run_stage(main)
