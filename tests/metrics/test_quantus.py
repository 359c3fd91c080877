"""Faithfulness, deletion, stability, complexity and randomisation as Quantus computes them."""

import numpy as np
import pytest
import torch
from torch import nn

import pipeline.core.torchvision_shim  # noqa: F401
from pipeline.explanations.gradients import gradient_times_input
from pipeline.metrics.faithfulness import faithfulness, removal_curves
from pipeline.metrics.informativeness import effective_features
from pipeline.metrics.randomisation import similarities
from pipeline.metrics.removal import InputRemoval, leave_one_out
from pipeline.metrics.stability import Box, Search, lipschitz_local, to_inputs

quantus = pytest.importorskip("quantus", reason="requirements-dev.txt")

BASELINE = 0.25
QUIET = {"disable_warnings": True, "display_progressbar": False, "abs": False, "normalise": False}
POINTS, HALF_WIDTH = 5, 0.1


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    layers = (nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
    return nn.Sequential(*layers).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def batch(model):
    x = torch.rand(12, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    return x, model(x).argmax(1)


@pytest.fixture(scope="module")
def removal():
    return InputRemoval(torch.full((1, 8, 8), BASELINE))


def theirs(metric, model, batch, **others):
    x, target = batch
    arrays = {"x_batch": x.numpy(), "y_batch": target.numpy()}
    arrays["a_batch"] = gradient_times_input(model, x, target).numpy()
    return np.array(metric(model=model, **arrays, **others))


def explained(inputs, targets, model, **_):
    x = torch.as_tensor(inputs, dtype=torch.float32)
    return gradient_times_input(model, x, torch.as_tensor(targets)).numpy()


def test_faithfulness_is_its_faithfulness_estimate(model, batch, removal):
    metric = quantus.FaithfulnessEstimate(features_in_step=1, perturb_baseline=BASELINE, **QUIET)
    expected = theirs(metric, model, batch, softmax=True)
    p = leave_one_out(removal, model, *batch)
    ours = faithfulness(model, gradient_times_input, *batch, p, removal)
    np.testing.assert_allclose(ours, expected, atol=1e-4)


def test_deletion_is_its_pixel_flipping(model, batch, removal):
    metric = quantus.PixelFlipping(features_in_step=4, perturb_baseline=BASELINE, **QUIET)
    expected = theirs(metric, model, batch, softmax=True)
    deletion, _ = removal_curves(model, gradient_times_input, *batch, removal, steps=16)
    np.testing.assert_allclose(deletion[:, 1:], expected, atol=1e-5)


def test_the_lipschitz_ratio_is_its_local_lipschitz_estimate(model, batch):
    x, target = batch
    generator = torch.Generator().manual_seed(0)
    drawn = (torch.rand(x.shape, generator=generator) for _ in range(POINTS))
    points = ((x + HALF_WIDTH * (2 * d - 1)).flatten(1).numpy() for d in drawn)
    metric = quantus.LocalLipschitzEstimate(
        nr_samples=POINTS, perturb_func=lambda arr, indices, **_: next(points), **QUIET
    )
    expected = theirs(metric, model, batch, explain_func=explained)
    box = Box(torch.full(x.shape[1:], HALF_WIDTH), -10.0, 10.0)
    search = Search(box, 1e-6, steps=0, restarts=POINTS)
    ours = lipschitz_local(model, gradient_times_input, x, target, to_inputs, search)
    np.testing.assert_allclose(ours, expected, rtol=1e-3)


def test_effective_features_are_exp_of_its_complexity(model, batch):
    expected = theirs(quantus.Complexity(**QUIET | {"abs": True}), model, batch)
    ours = effective_features(model, gradient_times_input, *batch)
    np.testing.assert_allclose(ours.log(), expected, rtol=1e-5)


def test_similarity_is_its_rank_correlation(model, batch):
    x, target = batch
    other = nn.Sequential(model[0], model[1], model[2], nn.Linear(144, 3)).requires_grad_(False)
    (ours,) = similarities(model, gradient_times_input, x, target, [other]).T
    maps = (gradient_times_input(m, x, target).abs().flatten(1).numpy() for m in (model, other))
    expected = quantus.similarity_func.correlation_spearman(*maps, batched=True)
    np.testing.assert_allclose(ours, expected, atol=1e-9)
