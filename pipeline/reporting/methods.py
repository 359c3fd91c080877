"""The report's section that compares explanation methods."""

import math

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pipeline.explanations.activation_maximisation import class_prototypes
from pipeline.explanations.logits import logits
from pipeline.explanations.method import Background
from pipeline.explanations.methods import methods_for
from pipeline.metrics.scores import SCORES, Score
from pipeline.reporting import wording
from pipeline.reporting.display import Picture, Prose, Several, Table
from pipeline.reporting.examples import pick, raw
from pipeline.reporting.figures.heat_maps import image_heat_maps, table_heat_map
from pipeline.reporting.figures.image_rows import image_rows
from pipeline.reporting.figures.methods import faithfulness_against_stability, method_curves
from pipeline.reporting.numbers import heading
from pipeline.reporting.results import ExperimentResults, Results

_TABLE_ROWS = 2  # cases of a table that are drawn
_L2 = 1e-3  # of activation maximisation: enough for clean digits
_SCALED = (
    "Each map is divided by its own largest magnitude: colours compare places in a map, not maps."
)
_ARROWS = {"high": "↑", "low": "↓"}


def comparison(results: Results) -> Several:
    """Explanation methods compared: heat maps, scores, figures; for every experiment."""
    parts: list[Prose | Picture | Table] = []
    for experiment in results.experiments.values():
        scores = experiment.methods
        parts.append(Prose(heading(experiment)))
        parts.append(Prose(_sentences(experiment)))
        parts += _heat_maps(experiment, results.params.report.explanations)
        if experiment.has_images:
            parts.append(_class_prototypes(experiment))
        parts.append(_scatter(experiment))
        parts.append(_scores(scores, experiment.learns_concepts))
        parts.append(_curves(experiment))
    return Several(parts)


def peers(scores: pd.DataFrame, learns_concepts: bool) -> list[pd.DataFrame]:
    """Rows of methods that can be ranked against each other.

    Those that speak of the same, pixels or concepts (concepts that are the features are the same as
    these), and explained as many examples as any.
    """
    whole = scores[scores["examples"] == scores["examples"].max()]
    if not learns_concepts:
        return [whole]
    return [group for _, group in whole.groupby("speaks_of", sort=False)]


def best_of(score: Score, group: pd.DataFrame) -> pd.Series:
    """Which rows of `group` have its best value of `score`, as shown, bool."""
    shown = group[score.name].map(lambda value: float(_number(value)) if value == value else value)
    return shown == (shown.max() if score.best == "high" else shown.min())


def _scores(scores: pd.DataFrame, learns_concepts: bool) -> Table:
    header = ["method"]
    header += [f"{score.label} {_ARROWS[score.best]}" for score in SCORES.values()]
    rows = []
    for row in scores.to_dict("records"):
        of = f"of {row['speaks_of']}, {row['examples']} examples"
        rows.append((f"{row['label']}\n{of}", *(_cell(row, name) for name in SCORES)))
    best = {
        (int(row), column)
        for group in peers(scores, learns_concepts)
        for column, score in enumerate(SCORES.values(), start=1)
        for row in np.flatnonzero(scores["method"].isin(group["method"][best_of(score, group)]))
    }
    return Table(header, rows, kind="numbers scores", best=frozenset(best))


def _cell(row: dict, name: str) -> str:
    value, low, high = (row[name + end] for end in ("", "_low", "_high"))
    if math.isnan(value):
        return wording.MISSING
    text = f"{_number(value)}\n{_number(low)} to {_number(high)}".replace("-", "−")
    undefined = int(row[f"{name}_undefined"])
    return f"{text}\n{undefined} undefined" if undefined else text


def _number(value: float) -> str:
    """Two decimals below 10, none from 100: what an interval this wide can bear."""
    decimals = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    return f"{value:.{decimals}f}"


def _sentences(experiment: ExperimentResults) -> str:
    """How much was compared, who leads, and what SENN's prediction rests on."""
    scores = experiment.methods
    costly = scores[scores["examples"] < scores["examples"].max()]
    seeds, examples = int(scores["seeds"].max()), int(scores["examples"].max())
    text = (
        f"{len(scores)} methods, {examples} test examples, "
        f"{wording.counted(seeds, 'model')} with λ = {experiment.robust_reg:g}"
    )
    if len(costly):
        fewer = wording.listed(costly["label"].tolist())
        text += (
            f"; {fewer} run the model hundreds of times per example and got "
            f"{costly['examples'].max()} examples each"
        )
    of_inputs = peers(scores[scores["speaks_of"] == "inputs"], True)[0]
    faithful = of_inputs.iloc[int(of_inputs["faithfulness"].argmax())]
    stable = of_inputs.iloc[int(of_inputs["lipschitz_local"].argmin())]
    least = _number(stable["lipschitz_local"])
    text += (
        f". Of those that speak of inputs, **{faithful['label']}** is the most faithful "
        f"(correlation {_number(faithful['faithfulness'])}) "
    )
    text += (
        f"and the most stable (Lipschitz ratio in the box {least})."
        if faithful["method"] == stable["method"]
        else f"and **{stable['label']}** the most stable (Lipschitz ratio in the box {least})."
    )
    kept = _without_concepts(experiment)
    if kept is not None:
        text += (
            f" With all concepts set to their mean and the relevances held, the predicted class "
            f"keeps a probability of {_number(kept)} on average: that much of a prediction is in "
            "the relevances alone."
        )
    return text


def _without_concepts(experiment: ExperimentResults) -> float | None:
    """p(predicted class) with all learned concepts at their mean; None if they are features."""
    if not experiment.learns_concepts:
        return None
    curves = experiment.method_curves
    own = curves[(curves["method"] == "contribution") & (curves["curve"] == "deletion")]
    return float(own["value"].iloc[-1])


def _scatter(experiment: ExperimentResults) -> Picture:
    scores = experiment.methods
    figure = faithfulness_against_stability(scores, "Faithfulness against stability")
    values = [
        f"{row['label']} {_number(row['faithfulness'])} and {_number(row['lipschitz_local'])}"
        for row in scores.to_dict("records")
    ]
    alt = f"Faithfulness and local Lipschitz ratio of each method: {'; '.join(values)}."
    caption = "Upper left is best. Lines are 95 % intervals over test examples."
    if experiment.learns_concepts:
        caption += " What speaks of concepts is measured on these, not on pixels."
    return Picture(figure, f"methods_{experiment.name}", alt, caption)


def _curves(experiment: ExperimentResults) -> Picture:
    families = dict(zip(experiment.methods["method"], experiment.methods["family"], strict=True))
    figure = method_curves(experiment.method_curves, families, "Removed, added, noisy, shuffled")
    alt = (
        "Curves of every method, a row of panels per family: probability of the predicted class "
        "under deletion and insertion, relative distance under noise, and rank correlation as "
        "layers are shuffled."
    )
    caption = (
        "In grey, the methods of the other rows. Deletion should fall fast, insertion rise fast, "
        "noise stay low, randomisation fall to 0."
    )
    return Picture(figure, f"method_curves_{experiment.name}", alt, caption)


def _heat_maps(experiment: ExperimentResults, count: int) -> list[Picture]:
    data = experiment.data
    x = data.test.x[pick(data.test.y, count)]
    target, maps = _attributions(experiment, x)
    name, methods = f"heat_maps_{experiment.name}", ", ".join(maps)
    if experiment.has_images:
        summed = {label: _to_unit(values.sum(1)) for label, values in maps.items()}
        figure = image_heat_maps(raw(x, data).numpy(), summed, "The same images, explained")
        alt = f"Heat maps of {len(x)} test images by {len(maps)} methods: {methods}."
        return [Picture(figure, name, alt, _SCALED)]
    features = [feature.replace("_", " ") for feature in data.feature_names]
    pictures = []
    for index, label in enumerate(target.tolist()):
        values = {method: _to_unit(of_all)[index] for method, of_all in maps.items()}
        title = f"The same case, explained: predicted {data.class_names[label]}"
        alt = f"{title}. What {len(maps)} methods say of each feature: {methods}."
        figure = table_heat_map(values, features, title)
        pictures.append(Picture(figure, f"{name}_{index + 1}", alt, _SCALED))
    return pictures[:_TABLE_ROWS]


def _class_prototypes(experiment: ExperimentResults) -> Picture:
    data = experiment.data
    mean = data.train.x.mean(0)
    found = class_prototypes(experiment.model, mean, data.low, data.high, _L2)
    title = "What is purest of each class to the model"
    figure = image_rows({"prototype": raw(found.x, data).numpy()}, title)
    least = wording.percent(float(found.probability.min()))
    caption = (
        "Activation maximisation: the image in the inputs’ range of largest log-probability less "
        f"{_L2:g} times its squared distance from the mean image. The model is at least {least} "
        "sure of each."
    )
    alt = f"{title}: an image for each of {wording.listed(list(data.class_names))}."
    return Picture(figure, f"class_prototypes_{experiment.name}", alt, caption)


def _attributions(experiment: ExperimentResults, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Predicted classes (N,) of x, and by label what each method says of the inputs."""
    data, model = experiment.data, experiment.model
    target = logits(model, x).argmax(1)
    background = Background.of(data)
    return target, {
        method.label: method.build(background)(model, x, target).detach()
        for method in methods_for(model).values()
        if method.speaks_of == "inputs" or not experiment.learns_concepts
    }


def _to_unit(attributions: Tensor) -> np.ndarray:
    """Each example's attributions divided by their largest magnitude; 0 stays 0."""
    largest = attributions.flatten(1).abs().amax(1).clamp(min=torch.finfo(torch.float32).tiny)
    return (attributions / largest.view(-1, *[1] * (attributions.ndim - 1))).numpy()
