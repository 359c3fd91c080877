"""The cost of a step: the textbook and banks of several widths, in turn."""

import statistics
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch

from benchmarks.measure import (
    Speed,
    bank_speed,
    textbook_speed,
    textbooks_side_by_side,
)
from benchmarks.memory import MIB, available_memory
from benchmarks.problems import Problem
from benchmarks.settings import PROBES, Probes, Settings
from pipeline.core.device import cores

_SHARE = 0.8  # of the memory that is free, for all banks together

Row = dict[str, Any]
Say = Callable[[str], None]


class Way(NamedTuple):
    """One way to train: by banks of `width`, their robustness loss exact or by `probes`.

    Width 0 is the textbook again, but in a process of one thread per core.
    """

    probes: Probes
    width: int

    def __str__(self) -> str:
        if self.width == 0:
            return "textbook in a process per core"
        return f"probes {self.probes}, width {self.width}"


class Pair(NamedTuple):
    """Two measurements, one right after the other."""

    textbook: Speed
    way: Speed


def time_steps(
    problems: Sequence[Problem], device: torch.device, settings: Settings, say: Say
) -> list[Row]:
    """One row per problem and way to train it.

    The machine may be busier now than in a minute: every measurement follows one of the textbook,
    and what is reported is the median of the pairs' ratios.
    """
    rows = []
    for problem in problems:
        pairs, skipped = _pairs(problem, device, settings, say)
        textbooks = [pair.textbook for several in pairs.values() for pair in several]
        rows.append({"experiment": problem.name, "method": "textbook", **_summary(textbooks)})
        for way, several in pairs.items():
            row: Row = {"experiment": problem.name, "method": "textbook"}
            if way.width:
                row |= {"method": "pipeline", **way._asdict()}
            if several:
                row |= _summary([pair.way for pair in several])
                row["faster"] = _faster(several)
            else:
                row["skipped"] = skipped[way]
            rows.append(row)
    return rows


def significant(value: float) -> float:
    """`value` with four digits: more were never measured."""
    return float(f"{value:.4g}")


def _ways(device: torch.device, settings: Settings) -> list[Way]:
    again = [Way("exact", 0)] if device.type == "cpu" else []
    return again + [Way(probes, width) for probes in PROBES for width in settings.widths]


def _pairs(
    problem: Problem, device: torch.device, settings: Settings, say: Say
) -> tuple[dict[Way, list[Pair]], dict[Way, str]]:
    """Measurements of every way, and why there are none of some."""
    pairs: dict[Way, list[Pair]] = {way: [] for way in _ways(device, settings)}
    skipped: dict[Way, str] = {}
    for number in range(1, settings.rounds + 1):
        for way in pairs:
            what = f"{problem.name}, {way}, round {number}/{settings.rounds}"
            reason = skipped.get(way) or _too_large(way, pairs, device)
            if not reason:
                try:
                    pair = _measure(problem, way, device, settings.seconds)
                except torch.OutOfMemoryError:
                    reason = "more than the GPU's memory"
            if reason:
                skipped[way] = reason
                say(f"{what}: skipped, {reason}")
                continue
            pairs[way].append(pair)
            times = f"{pair.way.ms:.3g} ms per step and model, textbook {pair.textbook.ms:.3g} ms"
            say(f"{what}: {times}")
    return pairs, skipped


def _measure(problem: Problem, way: Way, device: torch.device, seconds: float) -> Pair:
    textbook = textbook_speed(problem, device, seconds)
    if way.width == 0:
        return Pair(textbook, textbooks_side_by_side(problem, device, seconds))
    problem = problem.with_probes(way.probes)
    return Pair(textbook, bank_speed(problem, device, seconds, way.width))


def _too_large(way: Way, pairs: dict[Way, list[Pair]], device: torch.device) -> str | None:
    """Why banks of this width must not be tried, judging by the two next narrower ones.

    On the CPU: Linux would rather end the process, or another one, than refuse memory.
    """
    narrower = [
        (other.width, several[0].way.peak)
        for other, several in pairs.items()
        if other.probes == way.probes and 0 < other.width < way.width and several
    ][-2:]
    free = available_memory()
    if device.type != "cpu" or free is None or len(narrower) < 2:
        return None
    (low, small), (high, large) = narrower
    needed = cores() * (large + (large - small) / (high - low) * (way.width - high))
    if needed <= _SHARE * free:
        return None
    return f"would need {needed / MIB:.0f} MiB, {free / MIB:.0f} MiB are free"


def _summary(speeds: Sequence[Speed]) -> Row:
    """Median and range of several measurements of one thing; the largest peak of memory."""
    times = [speed.ms for speed in speeds]
    return {
        "processes": speeds[0].processes,
        "threads": statistics.mode(speed.threads for speed in speeds),
        "ms": significant(statistics.median(times)),
        "ms_low": significant(min(times)),
        "ms_high": significant(max(times)),
        "measurements": len(times),
        "peak_mib": round(max(speed.peak for speed in speeds) / MIB),
    }


def _faster(pairs: Sequence[Pair]) -> float:
    """How many times faster than the textbook, per step and model."""
    return significant(statistics.median(pair.textbook.ms / pair.way.ms for pair in pairs))
