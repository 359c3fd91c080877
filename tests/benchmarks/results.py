"""Results as `python -m benchmarks` makes them, with made-up numbers."""

from typing import Any

MACHINE = {
    "device": "cpu",
    "processor": "A Processor",
    "instructions": "AVX9",
    "cores": 3,
    "python": "3.99",
    "torch": "9.9.9",
    "cuda": None,
    "system": "Linux",
}


def step(experiment: str, ms: float, **about: Any) -> dict[str, Any]:
    bank = {"method": "pipeline"} if "width" in about else {"method": "textbook"}
    measured = {"ms": ms, "ms_low": 0.9 * ms, "ms_high": 1.1 * ms, "measurements": 3}
    how = {"processes": 3, "threads": 1, "peak_mib": 777}
    return {"experiment": experiment, **bank, **how, **measured, **about}


def grid(cells: int, seconds: float) -> dict[str, Any]:
    times = {"seconds": seconds, "seconds_low": seconds, "seconds_high": seconds}
    more = {"training": seconds - 1, "measurements": 1, "peak_mib_all_processes": 888}
    return {"cells": cells, **times, **more}


def growth(along: str, classes: int, concepts: int) -> dict[str, Any]:
    sizes = {"along": along, "classes": classes, "concepts": concepts, "width": 5}
    return {**sizes, "textbook_ms": 300.0, "exact_ms": 120.0, "probes_1_ms": 33.0}


RESULTS = {
    "machine": MACHINE,
    "steps": [
        step("compas_senn", 4.0),
        step("compas_senn", 2.0, probes="exact", width=1, faster=2.0),
        step("compas_senn", 0.5, probes="exact", width=5, faster=8.0),
        step("compas_senn", 0.25, probes=1, width=5, faster=16.0),
        step("mnist_senn", 400.0),
        step("mnist_senn", 80.0, probes="exact", width=1, faster=5.0),
        step("mnist_senn", 20.0, probes=1, width=1, faster=20.0),
    ],
    "end_to_end": {
        "epochs": 100,
        "textbook": {
            "cells": 15,
            "seconds": 152.0,
            "training": 150.0,
            "runs_measured": 2,
            "extrapolated": True,
        },
        "grids": [grid(15, 4.0), grid(1000, 40.0)],
        "faster": 38.0,
        "faster_training_only": 50.0,
    },
    "growth": [
        growth("classes", 2, 5),
        growth("classes", 10, 5),
        growth("concepts", 10, 2),
        growth("concepts", 10, 5),
    ],
}
