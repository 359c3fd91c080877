"""The report's figures, of one explanation."""

import numpy as np
from matplotlib.figure import Figure

from pipeline.claims import wording
from pipeline.reporting import style
from pipeline.reporting.examples import Example
from pipeline.reporting.explanations import (
    common_limits,
    contrastive_explanation,
    image_explanation,
    table_explanation,
)
from pipeline.reporting.heat_maps import image_heat_maps
from pipeline.sharing.explanation import Explanation

_STRONGEST = 15  # words of a text that are drawn


@style.styled
def draw(explanation: Explanation) -> Figure:
    """The figure of `explanation`.

    Of a SENN's own explanations as in the report's section on single predictions; of another
    method's attributions a heat map of an image, or bars. Of a text, bars of the strongest words.
    """
    if explanation.kind == "texts":
        return _of_words(explanation)
    if not explanation.is_own:
        return _of_method(explanation)
    figure = _of_concepts(explanation)
    if explanation.target != explanation.prediction:
        is_canvas = figure.get_layout_engine() is None
        look = {"y": 0.995, "va": "top"} if is_canvas else {}
        figure.suptitle(_title(explanation), x=0.005, ha="left", **look)
    return figure


def _of_concepts(explanation: Explanation) -> Figure:
    example = Example(
        x=explanation.input,
        truth=explanation.target,  # nobody knows it
        prediction=explanation.target,
        contrast=explanation.contrast,
        probability=explanation.probabilities[explanation.target],
        concepts=explanation.concepts,
        relevances=explanation.relevances,
        contributions=explanation.contributions,
        contrast_contributions=explanation.contrast_contributions,
    )
    limits = common_limits([example])
    if explanation.strips is not None:
        return contrastive_explanation(example, explanation.strips, limits)
    if explanation.concepts_are_features:
        return table_explanation(example, explanation.feature_names, limits)
    if explanation.kind == "images":
        return image_explanation(example, limits)
    return bars(explanation.concept_names, explanation.contributions, _title(explanation))


def _of_method(explanation: Explanation) -> Figure:
    title = _title(explanation)
    if explanation.speaks_of == "inputs" and explanation.kind == "images":
        values = explanation.attributions.sum(0)
        most = np.abs(values).max()
        maps = {explanation.label: (values / most if most > 0 else values)[np.newaxis]}
        return image_heat_maps(explanation.input[np.newaxis], maps, title)
    return bars(explanation.named, explanation.attributions, title)


def _of_words(explanation: Explanation) -> Figure:
    """The strongest words in their order: what they say for `target` and `contrast`.

    Or, by another method, what they say for `target` beside their contributions.
    """
    own, rival, *by_method = explanation.said_by_words()
    shown = [*by_method, own, rival][:2]
    strength = np.max([np.abs(part.values) / part.limit for part in shown], axis=0)
    order = np.sort(np.argsort(-strength, kind="stable")[:_STRONGEST])
    figure = style.new_figure(0.85 + 0.17 * len(order), _title(explanation))
    for axes, part in zip(figure.subplots(1, 2), shown, strict=True):
        style.signed_bars(axes, part.values[order], 1.05 * part.limit)
        axes.set_title(part.title)
    style.name_rows(figure.axes[0], [explanation.feature_names[i] for i in order])
    return figure


def _title(explanation: Explanation) -> str:
    share = wording.probability(explanation.probabilities[explanation.target])
    title = f"Why {explanation.target} ({share})"
    return title if explanation.is_own else f"{title}: {explanation.label}"


@style.styled
def bars(names: tuple[str, ...], values: np.ndarray, title: str) -> Figure:
    """A bar per name, positive blue, negative vermilion; values (names,)."""
    figure = style.new_figure(0.6 + 0.17 * len(names), title, style.SMALL_WIDTH)
    axes = figure.subplots()
    style.signed_bars(axes, values, style.common_limit(values))
    style.name_rows(axes, names)
    return figure
