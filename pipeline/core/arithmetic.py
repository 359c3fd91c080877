"""Arithmetic that torch does differently on different processors, done the same on all of them.

`portable` says why. On a GPU it is torch's own.
"""

import numpy as np
import torch
from scipy.linalg.blas import get_blas_funcs
from torch import Tensor


def multiply(a: Tensor, b: Tensor, out: Tensor) -> Tensor:
    """OpenBLAS's out = a @ b, of matrices (..., I, K) and (..., K, J); without derivatives.

    Overlapping matrices, and those transposed in memory, need no copy.
    """
    if out.is_cuda:
        return torch.matmul(a, b, out=out)
    np.matmul(a.detach().numpy(), b.detach().numpy(), out=out.numpy())
    return out


def add_product(a: Tensor, b: Tensor, out: Tensor) -> None:
    """out += a @ b, of one matrix (I, K) and another (K, J), the latter and `out` contiguous."""
    if out.is_cuda:
        out.addmm_(a, b)
        return
    # BLAS counts columns first: it is given outᵀ += bᵀ @ aᵀ, and writes into the memory of `out`.
    own, left, right = out.numpy().T, b.detach().numpy().T, a.detach().numpy().T
    is_transposed = not right.flags.f_contiguous
    gemm = get_blas_funcs("gemm", (own, left, right))
    gemm(
        1.0,
        left,
        right.T if is_transposed else right,
        1.0,
        own,
        trans_b=is_transposed,
        overwrite_c=True,
    )


def square_root(x: Tensor) -> Tensor:
    """√x to within one unit in the last place; `torch.sqrt` starts from what processors guess."""
    return x.rsqrt().reciprocal()
