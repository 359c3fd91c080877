import pytest
import torch

from pipeline.core.dataset import PATCH
from pipeline.explanations.library import integrated_gradients as captums
from pipeline.explanations.methods import METHODS
from pipeline.metrics.removal import InputRemoval
from pipeline.rivals.methods import CONTRIBUTION, RIVALS, SENN, integrated_gradients, rivals_for
from tests.metrics.models import random_image_senn, random_table_senn, senn, two_classes


def test_names_and_marks_are_those_of_the_table_of_methods():
    for name, rival in RIVALS.items():
        assert rival.by_removal == METHODS[name].by_removal
        assert rival.of_concepts == (METHODS[name].speaks_of == "concepts")
        assert (rival.build is None) != (rival.draw is None)


def test_who_is_compared():
    assert set(rivals_for(False)) == {SENN, CONTRIBUTION, "lime", "kernel_shap"}
    assert set(rivals_for(True)) == set(RIVALS) - {"kernel_shap"}


def test_integrated_gradients_are_captums_and_differentiable():
    model, x = random_table_senn(), torch.rand(5, 6, generator=torch.Generator().manual_seed(0))
    target, baseline = torch.tensor([0, 1, 2, 0, 1]), torch.full((6,), 0.3)
    mine = integrated_gradients(model, x.requires_grad_(), target, baseline)
    torch.testing.assert_close(
        mine.detach(), captums(model, x.detach(), target, baseline), atol=0.02, rtol=0.05
    )
    (gradient,) = torch.autograd.grad(mine.square().sum(), x)
    assert gradient.abs().min() > 0


def test_of_a_linear_model_slopes_are_constant_and_worths_agree():
    weights = torch.tensor([1.0, -2.0, 0.5, 0.0, 3.0, 1.5])
    model = senn(lambda x: two_classes(weights.expand_as(x)))
    x = torch.rand(8, 6, generator=torch.Generator().manual_seed(0))
    target, baseline = torch.zeros(8, dtype=torch.int64), torch.zeros(6)
    for name, rival in rivals_for(False).items():
        e = rival.method(baseline, 6, 100)(model, x, target)
        if rival.says == "slope":
            torch.testing.assert_close(e, weights.expand_as(x))
        elif name != "lime":  # whose ridge shrinks
            torch.testing.assert_close(e, weights * x, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    "name", ["sensitivity", "gradient_times_input", "integrated_gradients", SENN]
)
def test_what_is_called_differentiable_is(name):
    model, x = random_image_senn(), torch.rand(2, 1, 28, 28)
    groups = InputRemoval(torch.zeros(1, 28, 28), PATCH).groups
    explain = RIVALS[name].method(torch.zeros(1, 28, 28), groups, 20)
    e = explain(model, x.requires_grad_(), torch.tensor([0, 1]))
    (gradient,) = torch.autograd.grad(e.square().sum(), x)
    assert gradient.abs().max() > 0


@pytest.mark.parametrize("name", ["lime", "kernel_shap"])
def test_samples_are_drawn_once_or_for_every_input(name):
    model, target = random_table_senn(), torch.zeros(6, dtype=torch.int64)
    x = torch.rand(1, 6, generator=torch.Generator().manual_seed(0)).expand(6, 6)
    once = RIVALS[name].method(torch.zeros(6), 6, 30)(model, x, target)
    torch.testing.assert_close(once, once[:1].expand_as(once))
    anew = RIVALS[name].redrawn(torch.zeros(6), 6, 30)
    first, second = anew(model, x, target), anew(model, x, target)
    apart = torch.cdist(*2 * [torch.cat([first, second])]) + torch.eye(12)
    assert apart.min() > 0.01 * once.norm(dim=1).max()
