"""The report's predictions to explore: every choice of λ, seed and example, computed beforehand.

The page's script (page_template/page.js) shows what was chosen; without it the section stays hidden
and the figures below it speak for themselves.
"""

import base64
import io
import json
from collections.abc import Iterator
from html import escape
from typing import Any

import matplotlib.image
import numpy as np
import torch
from torch import Tensor

from pipeline.claims import wording
from pipeline.claims.results import ExperimentResults, Results
from pipeline.core.dataset import Dataset
from pipeline.explanations.method import Background
from pipeline.metrics.removal import leave_one_out, removal_of_concepts
from pipeline.models.senn import Senn
from pipeline.reporting.common import pick, raw
from pipeline.reporting.display import Html, Part
from pipeline.reporting.examples import arithmetic, concept_names, explained, reason

EXAMPLES = 10  # test examples to choose from, of each experiment
SEEDS = 3  # the first ones
TRAINING = 500  # examples, from the first, whose mean stands for a learned concept's absence
_DIGITS = 4  # significant digits of what is embedded

CHOICES = {
    "experiment": "experiment",
    "robust_reg": "strength of the robustness loss, λ",
    "seed": "seed",
    "example": "example",
}
"""What can be chosen, by the name of its control."""


def explorer(results: Results) -> Iterator[Part]:
    """All experiments of a run, ready to be explored."""
    html = controls_of([explored(e) for e in results.experiments.values()])
    yield Html(html, "Open report.html to explore predictions.", needs_script=True)


def controls_of(experiments: list[dict[str, Any]]) -> str:
    """Controls, an empty place for what they choose, and all that can be chosen.

    Hidden until the page's script fills it.
    """
    controls = "".join(
        f'<label>{escape(label)} <select name="{name}"></select></label>'
        for name, label in CHOICES.items()
    )
    data = json.dumps(experiments, ensure_ascii=False, separators=(",", ":"))
    # It stands in texts alone, where "</" would end the script.
    data = data.replace("<", "\\u003c")
    return (
        '<section class="explorer" aria-label="Explore predictions" hidden>\n'
        f'<form class="controls">{controls}</form>\n<div class="chosen"></div>\n</section>\n'
        f'<script type="application/json" id="explorer-data">{data}</script>'
    )


def explored(experiment: ExperimentResults) -> dict[str, Any]:
    """What the page's script needs of an experiment.

    Returns
    -------
    name, title, and concepts (their names);
    lambdas and seeds : that can be chosen, and `headline`, the index of the λ chosen at first;
    examples : of each its `label`, and its `image` if it is one;
    cells : nested lists, by λ, seed and example, of what `_shown` returns.
    """
    data, names = experiment.data, concept_names(experiment)
    indices, baseline = pick(data.test.y, EXAMPLES), Background.of(data).baseline
    grid = [
        [
            _shown(experiment.model_of(robust_reg, seed), data, indices, baseline, names)
            for seed in experiment.seeds[:SEEDS]
        ]
        for robust_reg in experiment.lambdas
    ]
    return {
        "name": experiment.name,
        "title": experiment.title,
        "concepts": names,
        "lambdas": [wording.lambda_label(value) for value in experiment.lambdas],
        "headline": experiment.lambdas.index(experiment.robust_reg),
        "seeds": [str(seed) for seed in experiment.seeds[:SEEDS]],
        "examples": [
            _input(data, index, place) for place, index in enumerate(indices.tolist(), start=1)
        ],
        "cells": grid,
    }


def _shown(
    senn: Senn, data: Dataset, indices: Tensor, baseline: Tensor, names: list[str]
) -> list[dict[str, Any]]:
    """What is shown of each example by one model; lists have a number per concept."""
    examples = explained(senn, data, indices)
    target = torch.tensor([data.class_names.index(one.prediction) for one in examples])
    with torch.no_grad():
        concepts = senn.conceptizer.encode(data.train.x[:TRAINING])
    removal = removal_of_concepts(senn, baseline, concepts)
    # Of the predicted class, whole and without one concept each.
    probabilities = leave_one_out(removal, senn, data.test.x[indices], target).numpy()
    return [
        {
            "says": example.prediction,
            "p": _rounded(p[0]),
            "concepts": _rounded(example.concepts),
            "relevances": _rounded(example.relevances),
            "contributions": _rounded(example.contributions),
            "changes": _rounded(p[1:] - p[0]),
            "reason": reason(example, names),
            "sum": arithmetic(example),
        }
        for example, p in zip(examples, probabilities, strict=True)
    ]


def _input(data: Dataset, index: int, place: int) -> dict[str, Any]:
    label = f"{place}: {data.class_names[int(data.test.y[index])]}"
    if data.kind != "images":
        return {"label": label}
    return {"label": label, "image": _data_uri(raw(data.test.x[index], data).numpy())}


def _data_uri(pixels: np.ndarray) -> str:
    """An image with pixels in [0, 1], (channels, height, width); of one channel 0 is white."""
    image = 1 - np.repeat(pixels, 3, 0) if len(pixels) == 1 else pixels
    buffer = io.BytesIO()
    fixed: Any = {"Software": None}  # without matplotlib's version
    matplotlib.image.imsave(buffer, image.transpose(1, 2, 0), format="png", metadata=fixed)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _rounded(values: np.ndarray) -> Any:
    """As numbers of JSON, to a few significant digits."""
    numbers = [float(f"{value:.{_DIGITS}g}") for value in np.atleast_1d(values).tolist()]
    return numbers if np.ndim(values) else numbers[0]
