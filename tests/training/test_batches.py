"""When models are validated, and until when an epoch's steps have noise; and that noise."""

from pathlib import Path

import pytest
import torch

from pipeline.core.dataset import Dataset, load_dataset
from pipeline.training.batches import (
    Batches,
    draw_batches,
    steps_with_noise,
    stretches,
    validations,
)
from pipeline.training.objectives import Objective
from tests.training.grids import EXPERIMENTS, SMOKE, initial, settings, write_data

NAME = "mnist_senn"


def experiment(epochs: int, eval_freq: int, until: str = "first_validation"):
    changes = {"epochs": epochs, "eval_freq": eval_freq, "training_mode_until": until}
    return SMOKE.experiment(NAME).model_copy(update=changes)


@pytest.mark.parametrize(("steps", "epochs"), [(1, 3), (4, 3), (5, 2), (6, 1)])
def test_follows_the_definition_step_by_step(steps, epochs):
    for eval_freq in range(1, 14):
        of = experiment(epochs, eval_freq)
        taken = 0
        for epoch in range(1, epochs + 1):
            due, quiet, noisy = [], False, 0
            for step in range(1, steps + 1):
                taken += 1
                noisy += not quiet
                if taken % eval_freq == 0 or taken == steps * epochs:
                    due.append(step)
                    quiet = True  # the review's model.eval(), until the next epoch's model.train()
            assert validations(epoch, steps, of) == due
            assert steps_with_noise(epoch, steps, of) == noisy
            always = experiment(epochs, eval_freq, "epoch_end")
            assert steps_with_noise(epoch, steps, always) == steps
            parts = list(stretches(epoch, steps, of))
            assert [step for part in parts for step in range(*part)] == list(range(steps))
            assert [end for _, end in parts] == [*due, *([] if steps in due else [steps])]


def test_the_published_schedule():
    # 54,000 images in batches of 200 are 270 steps; validations at 100, 200, 300, …, 1300, 1350.
    of = experiment(epochs=5, eval_freq=100)
    assert [steps_with_noise(epoch, 270, of) for epoch in range(1, 6)] == [100, 30, 60, 90, 20]
    taken = [(e - 1) * 270 + step for e in range(1, 6) for step in validations(e, 270, of)]
    assert taken == [*range(100, 1301, 100), 1350]


def drawn(name: str, until: str, data: Dataset, epoch: int) -> Batches:
    """Batches of 4 steps an epoch, of which the first epoch's third is followed by a validation."""
    sizes = {"epochs": 3, "batch_size": 12, "eval_freq": 3, "dropout": 0.5}
    changes = {f"experiments.{name}.{key}": value for key, value in sizes.items()}
    changes |= {f"experiments.{name}.training_mode_until": until, "robustness.probes": 2}
    params = settings(changes)
    objective = Objective(params.experiment(name), params.robustness, params.vae)
    return draw_batches(initial(name, data, params)(1), objective, 1, epoch, data.train)


@pytest.mark.parametrize("name", EXPERIMENTS)
@pytest.mark.parametrize(("epoch", "noisy"), [(1, 3), (2, 2), (3, 1)])
def test_noise_is_the_same_until_it_is_none(name, epoch, noisy, tmp_path: Path):
    data = load_dataset(write_data(name, tmp_path, train=50))
    always, ours = (drawn(name, until, data, epoch) for until in ("epoch_end", "first_validation"))
    assert torch.equal(ours.examples, always.examples)
    if always.probes is not None:
        assert torch.equal(ours.probes, always.probes)
    for mask, other in zip(ours.noise.masks, always.noise.masks, strict=True):
        assert torch.equal(mask[:noisy], other[:noisy])
        assert (mask[noisy:] == 1).all() and (other[noisy:] != 1).all()
    assert (ours.noise.latent is None) == (name != "mnist_disenn")
    if ours.noise.latent is not None:
        assert torch.equal(ours.noise.latent[:noisy], always.noise.latent[:noisy])
        assert (ours.noise.latent[noisy:] == 0).all() and (always.noise.latent != 0).all()
