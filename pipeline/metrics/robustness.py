"""The robustness loss on test data, in one definition for all models."""

import torch
from torch import Tensor

from pipeline.metrics.batches import in_batches
from pipeline.models.senn import Senn
from pipeline.training.robustness import linearise, residuals


def residual_norm(model: Senn, x: Tensor) -> Tensor:
    """‖∇ₓf(x) − θ(x)ᵀ Jʰₓ(x)‖ of each example, Frobenius over classes and features, (N,).

    The paper's equation 3, exact, on the logits: comparable between models whatever variant of the
    loss they were trained with, and independent of batch size.
    """

    def norms(x: Tensor) -> Tensor:
        exact = residuals(linearise(model, x), "paper2018")
        return torch.linalg.vector_norm(exact.flatten(2), dim=(0, 2))

    return in_batches(norms, x)
