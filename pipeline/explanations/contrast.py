"""The contrast class: an explanation says why this class and not that one."""

from torch import Tensor


def prediction_and_contrast(logits: Tensor) -> tuple[Tensor, Tensor]:
    """The most and the second most probable class of logits (B, C), each (B,).

    DiSENN's explanations set the contributions to the two side by side.
    """
    first, second = logits.topk(2, dim=1).indices.unbind(1)
    return first, second
