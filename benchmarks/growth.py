"""How a step's cost grows with classes and with concepts: C + K backward passes, C, or one."""

from pathlib import Path

import torch

from benchmarks.measure import bank_speed, textbook_speed
from benchmarks.problems import mnist
from benchmarks.settings import PROBES, Settings
from benchmarks.steps import Row, Say, significant


def time_growth(folder: Path, device: torch.device, settings: Settings, say: Say) -> list[Row]:
    """One row per number of classes, and per number of concepts, of MNIST-SENN.

    Each has the ms per step and model of the textbook, and of banks with the robustness loss exact
    and estimated by one probe.
    """
    sweep = [("classes", n) for n in settings.classes] + [
        ("concepts", n) for n in settings.concepts
    ]
    rows = []
    for along, number in sweep:
        problem = mnist(folder, device.type, **{along: number})
        experiment = problem.params.experiment(problem.name)
        row = {
            "along": along,
            "classes": experiment.num_classes,
            "concepts": experiment.num_concepts,
            "width": settings.growth_width,
            "textbook_ms": significant(textbook_speed(problem, device, settings.seconds).ms),
        }
        for probes in PROBES:
            width = settings.growth_width
            speed = bank_speed(problem.with_probes(probes), device, settings.seconds, width)
            row["exact_ms" if probes == "exact" else f"probes_{probes}_ms"] = significant(speed.ms)
        rows.append(row)
        say(", ".join(f"{key} {value}" for key, value in row.items()))
    return rows
