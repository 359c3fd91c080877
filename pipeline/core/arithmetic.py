"""Arithmetic that torch does differently on different processors, done the same way on all.

`portable` says why. On a GPU products are torch's (`models.layers.plain`).
"""

import numpy as np
from torch import Tensor


def multiply(a: Tensor, b: Tensor, out: Tensor) -> Tensor:
    """out = a @ b by OpenBLAS, of matrices (..., I, K) and (..., K, J); without derivatives.

    Overlapping matrices, and matrices transposed in memory, are not copied.
    """
    np.matmul(a.detach().numpy(), b.detach().numpy(), out=out.numpy())
    return out


def add_product(a: Tensor, b: Tensor, out: Tensor) -> None:
    """out += a @ b, of matrices (I, K) and (K, J); `b` and `out` are contiguous."""
    from scipy.linalg.blas import get_blas_funcs

    # BLAS is column-major: it computes outᵀ += bᵀ @ aᵀ, in the memory of `out`.
    total, left, right = out.numpy().T, b.detach().numpy().T, a.detach().numpy().T
    is_transposed = not right.flags.f_contiguous
    gemm = get_blas_funcs("gemm", (total, left, right))
    right = right.T if is_transposed else right
    gemm(1.0, left, right, 1.0, total, trans_b=is_transposed, overwrite_c=True)


def square_root(x: Tensor) -> Tensor:
    """√x within one unit in the last place; `torch.sqrt` depends on the processor's first guess."""
    return x.rsqrt().reciprocal()
