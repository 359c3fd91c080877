"""Random data to measure models on, and how they are measured."""

import torch

from pipeline.core.dataset import Dataset, Split
from pipeline.core.params import Evaluate

EVALUATE = Evaluate(
    lipschitz_discrete_radius=0.8,
    lipschitz_local_radius=0.1,
    lipschitz_local_steps=5,
    lipschitz_local_restarts=1,
    lipschitz_concept_resolution=0.01,
    anchors=30,
    bootstrap=200,
)


def dataset(shape, classes, examples=120):
    """Features between 0 and 1, random classes; about as many examples in every split."""
    generator = torch.Generator().manual_seed(0)

    def split(size):
        x = torch.rand(size, *shape, generator=generator)
        return Split(x, torch.randint(classes, (size,), generator=generator))

    splits = {name: split(examples + i) for i, name in enumerate(("train", "valid", "test"))}
    names = tuple(map(str, range(classes)))
    return Dataset("random", **splits, feature_names=(), class_names=names, mean=0, std=1,
                   low=0.0, high=1.0, digest="")  # fmt: skip
