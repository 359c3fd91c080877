"""Accuracy on a whole split."""

from torch import Tensor

from pipeline.data.dataset import Split
from pipeline.metrics.batches import in_batches
from pipeline.models.senn import Senn


def predict(model: Senn, x: Tensor) -> Tensor:
    """Predicted classes (N,) of inputs (N, *input_shape)."""
    return in_batches(lambda x: model(x).logits.argmax(1), x)


def correct(model: Senn, split: Split) -> Tensor:
    """Which examples of `split` the model gets right, (N,) bool; no example is dropped."""
    return predict(model, split.x) == split.y
