"""The report's nearest-neighbour study: do similar images get similar explanations?"""

import statistics
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.figure import Figure

from pipeline.claims import evidence
from pipeline.claims.results import NEIGHBOURS, ExperimentResults, Results
from pipeline.reporting import style, wording
from pipeline.reporting.common import Part, examples_at, per_experiment, raw
from pipeline.reporting.display import Picture, Prose, Table

RANDOM_OTHERS = 3
COLUMNS = {
    "relevances": "relevances",
    "within_class": "same class",
    "concepts": "concepts",
}


class Neighbourhood(NamedTuple):
    """An image, its nearest neighbours and some random others.

    `images`: pixels in [0, 1], (1 + near + far, channels, height, width); `relevances`
    (K, 1 + near + far), for the class predicted for the first; `near`: how many neighbours.
    """

    images: np.ndarray
    relevances: np.ndarray
    near: int


@per_experiment("This run has no concepts learned from images.")
def neighbours(experiment: ExperimentResults, results: Results) -> Iterator[Part]:
    """Distances of neighbours over those of random pairs, and examples, per image experiment."""
    if not (experiment.has_images and experiment.learns_concepts):
        return
    if reason := experiment.why_no_latent_space:
        yield Prose(f"Neighbours are sought in pixels only: {reason}.")
    yield _ratios(experiment)
    yield _picture(experiment, results)


def _ratios(experiment: ExperimentResults) -> Table:
    rows = []
    for space, studies in experiment.neighbour_studies.items():
        texts = []
        for field in COLUMNS:
            distances = [getattr(study, field) for study in studies]
            by_seed = evidence.ratios(distances)
            text = f"{statistics.fmean(by_seed):.2f}" if by_seed else wording.MISSING
            interval = evidence.ratio_interval(distances)
            texts.append(f"{text}\n{wording.bounds(interval)}" if interval else text)
        rows.append((space, *texts))
    return Table(("nearest in", *COLUMNS.values()), rows, marked=frozenset({0}))


def _picture(experiment: ExperimentResults, results: Results) -> Picture:
    anchors = examples_at(experiment, results)
    space = next(iter(experiment.neighbour_studies))
    figure = neighbour_relevances(
        [_neighbourhood(experiment, int(anchor)) for anchor in anchors],
        f"Neighbours in {space}, and others",
    )
    alt = (
        f"{len(anchors)} test images of {experiment.name}, each with its {NEIGHBOURS} nearest "
        f"neighbours in {space} and {RANDOM_OTHERS} random others, over a heat map of their "
        "relevances."
    )
    return Picture(figure, f"neighbours_{experiment.name}", alt)


def _neighbourhood(experiment: ExperimentResults, anchor: int) -> Neighbourhood:
    data, output = experiment.data, experiment.test_outputs[0]
    first, *_ = next(iter(experiment.neighbour_studies.values()))
    near = first.neighbours[anchor]
    generator = torch.Generator().manual_seed(anchor)
    others = torch.randperm(len(data.test), generator=generator)
    others = others[others != anchor][:RANDOM_OTHERS]
    shown = torch.cat([torch.tensor([anchor]), near, others])
    label = output.logits[anchor].argmax()
    return Neighbourhood(
        raw(data.test.x[shown], data).numpy(),
        output.relevances[shown, :, label].T.numpy(),
        len(near),
    )


@style.styled
def neighbour_relevances(groups: Sequence[Neighbourhood], title: str) -> Figure:
    """For each neighbourhood a row of images over a heat map of relevances, on one colour scale."""
    concepts, near, total = len(groups[0].relevances), groups[0].near, len(groups[0].images)
    left, top, gap, bottom = 0.28, 0.28, 0.16, 0.5
    side = (style.WIDTH - left - 2 * gap) / total
    heat = 0.12 * concepts
    row = side + heat + 0.14
    below = top + len(groups) * row
    figure, paper = style.canvas(below + bottom, title)
    lefts = [left + i * side + gap * ((i > 0) + (i > near)) for i in range(total)]
    for column, name in (
        (0, "this"),
        (1, "its nearest neighbours"),
        (near + 1, "others at random"),
    ):
        paper.text(lefts[column], top - 0.05, name, fontsize=8.5)
    limit = max(float(np.abs(group.relevances).max()) for group in groups) or 1.0
    norm = mpl.colors.Normalize(-limit, limit)
    for index, group in enumerate(groups):
        down = top + index * row
        for concept in range(concepts):
            middle = down + side + (concept + 0.5) * heat / concepts
            paper.text(left - 0.03, middle, f"h{concept + 1}", ha="right", va="center", fontsize=7)
        for column, x in enumerate(lefts):
            style.show_image(paper, group.images[column], (x, down, side))
            extent = (x + 0.015, x + side - 0.015, down + side + heat, down + side)
            values = group.relevances[:, column : column + 1]
            paper.imshow(values, cmap=style.DIVERGING, norm=norm, extent=extent, aspect="auto")
    bar = style.colour_bar(figure, norm, (left, below + 0.02, 1.8, 0.09))
    tick = style.nice_tick(limit)
    bar.set_ticks([-tick, 0, tick], labels=[style.number(v) for v in (-tick, 0, tick)])
    bar.set_label("relevance", fontsize=8)
    return figure
