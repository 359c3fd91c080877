import math

import pytest
import torch

from pipeline.metrics.concepts import (
    concept_correlation,
    concept_sparsity,
    constant_concepts,
    correlation_matrix,
    encode,
    reconstruction_mse,
)
from tests.metrics.models import FunctionConceptizer, random_image_senn, senn, two_classes


def concepts_with_correlation(matrix, examples=500):
    """Concepts whose sample correlation is exactly `matrix`, with other means and scales."""
    torch.manual_seed(0)
    noise = torch.randn(examples, len(matrix), dtype=torch.float64)
    orthonormal, _ = torch.linalg.qr(noise - noise.mean(0))
    concepts = orthonormal @ torch.linalg.cholesky(matrix).T
    return (3 + concepts * torch.tensor([5.0, 70.0, 0.1])).float()


def test_correlation_of_known_covariance():
    matrix = torch.tensor([[1, 0.5, -0.3], [0.5, 1, 0.1], [-0.3, 0.1, 1]], dtype=torch.float64)
    concepts = concepts_with_correlation(matrix)
    assert concept_correlation(concepts) == pytest.approx((0.5 + 0.3 + 0.1) / 3, abs=1e-3)
    torch.testing.assert_close(correlation_matrix(concepts), matrix, atol=1e-3, rtol=0)


def test_correlation_of_copies_is_1():
    h = torch.rand(50, 1)
    assert concept_correlation(torch.cat([h, 1 - 2 * h], 1)) == pytest.approx(1)


def test_constant_concepts_are_left_out_and_counted():
    matrix = torch.tensor([[1, 0.5, 0], [0.5, 1, 0], [0, 0, 1]], dtype=torch.float64)
    concepts = concepts_with_correlation(matrix)
    concepts[:, 2] = 0.1
    assert constant_concepts(concepts).tolist() == [False, False, True]
    assert concept_correlation(concepts) == pytest.approx(0.5, abs=1e-4)
    known = correlation_matrix(concepts)
    assert known[:2, :2].flatten().tolist() == pytest.approx([1, 0.5, 0.5, 1], abs=1e-4)
    assert known[2].isnan().all() and known[:, 2].isnan().all()
    concepts[:, 1] = 0
    assert constant_concepts(concepts).tolist() == [False, True, True]
    assert math.isnan(concept_correlation(concepts))
    concepts[:, 0] = 3
    assert correlation_matrix(concepts).isnan().all()


def test_sparsity_is_the_mean_absolute_concept():
    assert concept_sparsity(torch.tensor([[0.0, -3.0], [1.0, 2.0], [0.0, 0.0]])) == 1.0


def test_reconstruction_error_of_each_example():
    # The reconstruction is off by 0.5 in every feature, by 1.5 in those of the last example.
    def back(h):
        error = torch.full_like(h, 0.5)
        error[h > 50] = 1.5
        return h + error

    model = senn(two_classes, concepts=FunctionConceptizer(lambda x: x, back))
    x = torch.rand(205, 3)
    x[-1] += 100
    errors = reconstruction_mse(model, x)
    torch.testing.assert_close(errors[:-1], torch.full((204,), 0.25))
    assert errors[-1].item() == pytest.approx(2.25, rel=1e-4)


def test_whole_set_in_batches():
    model, x = random_image_senn(), torch.randn(130, 1, 28, 28)
    output = model(x)
    torch.testing.assert_close(encode(model, x), output.concepts, atol=1e-5, rtol=1e-4)
    expected = torch.nn.functional.mse_loss(output.reconstruction, x)
    torch.testing.assert_close(reconstruction_mse(model, x).mean(), expected)
    assert not encode(model, x).requires_grad
