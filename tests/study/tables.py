"""Tables of a study that never was: accuracy and measures as functions of definition and λ."""

from collections.abc import Callable

import pandas as pd

from pipeline.study.definitions import Definition

LAMBDAS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
Curve = Callable[[float], float]


def study_table(
    curves: dict[Definition, Curve],
    seeds: tuple[float, ...] = (-0.001, 0.0, 0.001),
    lambdas: tuple[float, ...] = LAMBDAS,
    loss: Callable[[Definition, float], float] = lambda definition, robust_reg: 1 / robust_reg,
    half_width: float = 0.002,
) -> pd.DataFrame:
    """One row a cell; seed s has `seeds`[s] more accuracy than its curve."""
    return pd.DataFrame(
        {
            "experiment": "an_experiment",
            **definition._asdict(),
            "robust_reg": robust_reg,
            "seed": seed,
            "accuracy": curve(robust_reg) + more,
            "accuracy_low": curve(robust_reg) + more - half_width,
            "accuracy_high": curve(robust_reg) + more + half_width,
            "robustness_loss": loss(definition, robust_reg),
            "lipschitz_discrete": loss(definition, robust_reg),
            "concept_sparsity": 1 / (1 + robust_reg),
        }
        for definition, curve in curves.items()
        for robust_reg in lambdas
        for seed, more in enumerate(seeds)
    )
