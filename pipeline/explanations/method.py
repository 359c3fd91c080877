"""The call shape of all explanation methods, so that any method can be crossed with any metric.

``method(model, x, target) -> attributions``: x (B, *input_shape); `target` (B,) int64, the class to
explain for each example; attributions (B, K) of concepts or (B, *input_shape) of inputs. Models are
in evaluation mode, and an example's attributions do not depend on the rest of its batch.

Metrics take `explain`, any method; x (N, *input_shape); `target` (N,) int64, the classes predicted
there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar

import torch
from torch import Tensor, nn

from pipeline.core.dataset import Dataset

ModelT = TypeVar("ModelT", bound=nn.Module)

Method: TypeAlias = Callable[[ModelT, Tensor, Tensor], Tensor]
Family: TypeAlias = Literal["self-explaining", "gradient", "propagation", "perturbation"]


class Background(NamedTuple):
    """What a method may know about the data besides the example to explain.

    Attributes
    ----------
    baseline : Tensor (*input_shape)
        An input that stands for absence: the training median of every feature; a text of no words.
    low, high : Tensor () or (*input_shape)
        The range of the inputs, of all features or of each.
    """

    baseline: Tensor
    low: Tensor
    high: Tensor

    @classmethod
    def of(cls, data: Dataset) -> "Background":
        """From a dataset; of two medians the lower, which is a value that the feature takes."""
        x = data.train.x
        is_text = data.kind == "texts"
        baseline = torch.zeros_like(x[0]) if is_text else x.median(0).values
        return cls(baseline, data.low, data.high)


@dataclass(frozen=True)
class ExplanationMethod:
    """An entry of the table of methods (`pipeline.explanations.methods`).

    Attributes
    ----------
    name, label : str
        Its key in files, and its name in tables and figures.
    family : str
    speaks_of : str
        ``concepts``: attributions are (B, K), for a `Senn` alone. ``inputs``: attributions are
        (B, *input_shape), for any module that maps (B, *input_shape) to logits (B, C).
    build : callable
        Makes the method for a background.
    by_removal : bool
        Whether it removes the very patches that faithfulness removes, with the same baseline: such
        a method predicts what it has seen.
    is_costly : bool
        Whether it runs the model hundreds of times per example, and is scored on fewer examples.
    """

    name: str
    label: str
    family: Family
    speaks_of: Literal["concepts", "inputs"]
    build: Callable[[Background], Method[Any]]
    by_removal: bool = False
    is_costly: bool = False
