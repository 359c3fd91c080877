"""Products and roots against numpy's in float64."""

import numpy as np
import pytest
import torch

from pipeline.core.arithmetic import add_product, multiply, square_root

PRECISIONS = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


def tolerance(dtype: torch.dtype) -> float:
    return 40 * torch.finfo(dtype).eps


@PRECISIONS
@pytest.mark.parametrize("transposed", [False, True])
def test_products_of_batches_and_of_matrices_transposed_in_memory(dtype, transposed):
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(3, 5, 7, generator=generator, dtype=dtype)
    b = torch.randn(3, 4, 7, generator=generator, dtype=dtype).mT
    a = a.mT.contiguous().mT if transposed else a
    out = torch.empty(3, 5, 4, dtype=dtype)
    assert multiply(a.requires_grad_(), b, out) is out
    expected = np.einsum("mik,mkj->mij", a.detach().double(), b.double())
    np.testing.assert_allclose(out.double(), expected, atol=tolerance(dtype))


@PRECISIONS
@pytest.mark.parametrize("transposed", [False, True])
def test_adding_a_product_writes_into_the_given_memory(dtype, transposed):
    generator = torch.Generator().manual_seed(1)
    a = torch.randn(6, 5, generator=generator, dtype=dtype)
    a = a.mT.contiguous().mT if transposed else a
    b = torch.randn(5, 8, generator=generator, dtype=dtype)
    whole = torch.randn(10, 8, generator=generator, dtype=dtype)
    expected = whole.double().numpy().copy()
    expected[2:8] += a.double().numpy() @ b.double().numpy()
    add_product(a, b, whole[2:8])
    np.testing.assert_allclose(whole.double(), expected, atol=tolerance(dtype))


@PRECISIONS
def test_square_roots(dtype):
    x = torch.rand(10_000, generator=torch.Generator().manual_seed(2), dtype=dtype) * 100
    exact = np.sqrt(x.double().numpy())
    assert (abs(square_root(x).double() / torch.from_numpy(exact) - 1)).max() <= (
        1.1 * torch.finfo(dtype).eps
    )
    special = torch.tensor([0.0, torch.inf, torch.nan, 4.0], dtype=dtype)
    torch.testing.assert_close(
        square_root(special),
        torch.tensor([0.0, torch.inf, torch.nan, 2.0], dtype=dtype),
        equal_nan=True,
    )
    assert square_root(torch.tensor(9)) == 3
