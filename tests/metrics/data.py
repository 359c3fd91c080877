"""Random data to measure models on, and how they are measured."""

import dataclasses

import torch

from pipeline.core.dataset import Dataset, Split
from pipeline.core.params import Evaluate, Explain

EVALUATE = Evaluate(
    lipschitz_discrete_radius=0.8,
    lipschitz_local_radius=0.1,
    lipschitz_local_steps=5,
    lipschitz_local_restarts=1,
    lipschitz_concept_resolution=0.01,
    anchors=30,
    bootstrap=200,
)
EXPLAIN = Explain(
    experiments=("compas_senn",),
    seeds=1,
    examples=12,
    costly_examples=5,
    curve_steps=6,
    lipschitz_neighbours=2,
    lipschitz_points=2,
    noise_levels=(0.1, 0.5),
    power_neighbours=(1, 3),
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


def texts(padding: int = 0) -> Dataset:
    """Texts of 2 to 5 words of three numbers each, and `padding` more places behind."""
    data = dataset((5, 3), classes=3)
    generator = torch.Generator().manual_seed(1)
    splits = {}
    for name in ("train", "valid", "test"):
        split = getattr(data, name)
        lengths = torch.randint(2, 6, (len(split), 1), generator=generator)
        is_there = (torch.arange(5) < lengths).unsqueeze(2)
        x = torch.nn.functional.pad((2 * split.x - 1) * is_there, (0, 0, 0, padding))
        words = torch.randint(1, 9, (len(split), 5), generator=generator) * is_there.squeeze(2)
        words = torch.nn.functional.pad(words, (0, padding))
        splits[name] = Split(x, split.y, words)
    vocabulary = ("", *map(str, range(1, 9)))
    limits = {"low": torch.full((3,), -1.0), "high": torch.ones(3)}
    return dataclasses.replace(data, **splits, **limits, vocabulary=vocabulary)
