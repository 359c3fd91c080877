import pytest
import torch

from pipeline.metrics.evaluation import residual_norm
from tests.metrics.models import random_image_senn, senn


def test_linear_relevances_in_closed_form():
    # θ_kc(x) = Σ_d A_kcd x_d and h = x, so the residual of class c is Σ_k x_k A_kc.
    torch.manual_seed(0)
    a = torch.randn(4, 3, 4)
    model = senn(lambda x: torch.einsum("kcd,bd->bkc", a, x))
    x = torch.randn(130, 4)
    expected = torch.einsum("bk,kcd->bcd", x, a).flatten(1).norm(dim=1)
    torch.testing.assert_close(residual_norm(model, x), expected)


def test_constant_relevances_have_none():
    weights = torch.randn(4, 3)
    model = senn(lambda x: weights.expand(len(x), 4, 3) + 0 * x.sum())
    assert residual_norm(model, torch.randn(5, 4)).tolist() == [0] * 5


def test_images_against_finite_differences():
    # Along a direction v, with h held: (Σ_k h_k θ_kc(x + tv))' = ⟨r_c, v⟩, and ‖r_c‖ ≥ that.
    model = random_image_senn().double()
    x, step = torch.randn(2, 1, 28, 28, dtype=torch.float64), 1e-6
    norm = residual_norm(model, x)
    h = model(x).concepts
    squares = torch.zeros(2, dtype=torch.float64)
    for pixel in range(784):
        moved = x.flatten(1).clone()
        moved[:, pixel] += step
        back = x.flatten(1).clone()
        back[:, pixel] -= step
        change = model.parameterizer(moved.view_as(x)) - model.parameterizer(back.view_as(x))
        squares += torch.einsum("bk,bkc->bc", h, change / (2 * step)).square().sum(1).detach()
    assert norm.tolist() == pytest.approx(squares.sqrt().tolist(), rel=1e-4)
