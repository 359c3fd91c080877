"""The report's nearest-neighbour study: do similar images get similar explanations?"""

import statistics

import torch

from pipeline.reporting import evidence, wording
from pipeline.reporting.display import Picture, Prose, Several, Table
from pipeline.reporting.examples import raw
from pipeline.reporting.figures.neighbours import Neighbourhood, neighbour_relevances
from pipeline.reporting.gallery import Shown, examples_at, or_nothing
from pipeline.reporting.numbers import heading
from pipeline.reporting.results import NEIGHBOURS, ExperimentResults, Results

RANDOM_OTHERS = 3
COLUMNS = {
    "relevances": "relevances",
    "within_class": "same class",
    "concepts": "concepts",
}


def neighbours(results: Results) -> Several:
    """Distances of neighbours over those of random pairs, and examples, per image experiment."""
    parts: Shown = []
    for experiment in results.on_images:
        parts.append(Prose(heading(experiment)))
        if reason := experiment.why_no_latent_space:
            parts.append(Prose(f"Neighbours are sought in pixels only: {reason}."))
        parts += [_ratios(experiment), _picture(experiment, results)]
    return or_nothing(parts, "This run has no concepts learned from images.")


def _ratios(experiment: ExperimentResults) -> Table:
    rows = []
    for space, studies in experiment.neighbour_studies.items():
        texts = []
        for field in COLUMNS:
            distances = [getattr(study, field) for study in studies]
            found = evidence.ratios(distances)
            text = f"{statistics.fmean(found):.2f}" if found else wording.MISSING
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
