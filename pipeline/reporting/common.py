"""What sections of the report share: an experiment after the other, the examples shown, images."""

from collections.abc import Callable, Iterator, Mapping
from functools import wraps

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from pipeline.claims.results import ExperimentResults, Results
from pipeline.core.dataset import Dataset
from pipeline.models.conceptizers import VaeConceptizer
from pipeline.reporting import style
from pipeline.reporting.display import Picture, Prose, Several, Table

Part = Prose | Picture | Table


def per_experiment(
    otherwise: str = "This run has no experiments.",
) -> Callable[
    [Callable[[ExperimentResults, Results], Iterator[Part]]], Callable[[Results], Several]
]:
    """Make a section of what a function shows of each experiment: below its name, if anything.

    `otherwise` is what the section says where there is nothing to show at all.
    """

    def decorate(
        show: Callable[[ExperimentResults, Results], Iterator[Part]],
    ) -> Callable[[Results], Several]:
        @wraps(show)
        def section(results: Results) -> Several:
            parts: list[Part] = []
            for name, experiment in results.experiments.items():
                settings = experiment.settings
                heading = f"### {settings.model_class} on {settings.dataset} (`{name}`)"
                if shown := list(show(experiment, results)):
                    parts += [Prose(heading), *shown]
            return Several(parts or [Prose(otherwise)])

        return section

    return decorate


def examples_at(experiment: ExperimentResults, results: Results) -> Tensor:
    """Indices of the test examples that are shown."""
    return pick(experiment.data.test.y, results.params.report.explanations)


def pick(labels: Tensor, count: int) -> Tensor:
    """Indices of `count` examples: the first of each class in turn, then the second of each, ….

    In the order of the data, so that nobody chose them. Fewer if there are not so many examples.
    """
    rank = torch.zeros_like(labels)
    for label in labels.unique():
        of_class = labels == label
        rank[of_class] = torch.arange(int(of_class.sum()))
    order = np.lexsort((labels.numpy(), rank.numpy()))
    return torch.from_numpy(order[:count].copy())


def raw(x: Tensor, data: Dataset) -> Tensor:
    """Normalised inputs back in [0, 1]."""
    return (x * data.std + data.mean).clamp(0, 1)


def decoded(reconstruction: Tensor, conceptizer: VaeConceptizer) -> np.ndarray:
    """A VAE's reconstruction as its sigmoid says it, in [0, 1], whatever its target was."""
    return (reconstruction * conceptizer.scale + conceptizer.shift).clamp(0, 1).numpy()


@style.styled
def image_rows(rows: Mapping[str, np.ndarray], title: str) -> Figure:
    """Rows of images under one another, for instance inputs and their reconstructions.

    Parameters
    ----------
    rows : what to call a row → pixels in [0, 1], (examples, channels, height, width).
    """
    columns = len(next(iter(rows.values())))
    left, top = 0.75, 0.08
    side = (style.WIDTH - left) / columns
    figure, paper = style.canvas(top + len(rows) * side + 0.04, title)
    for index, (name, images) in enumerate(rows.items()):
        down = top + index * side
        paper.text(left - 0.06, down + side / 2, name, ha="right", va="center", fontsize=8)
        for column, image in enumerate(images):
            style.show_image(paper, image, (left + column * side, down, side))
    return figure
