"""The call shape all explanation methods share, so that any can be crossed with any metric.

``method(model, x, target) -> attributions``: x (B, *input_shape), `target` (B,) int64 the class to
explain for each example; attributions (B, K) if the method speaks of concepts, (B, *input_shape)
if it speaks of inputs. Models are in evaluation mode, and an example's attributions do not depend
on the others in its batch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar

from torch import Tensor, nn

from pipeline.core.dataset import Dataset

ModelT = TypeVar("ModelT", bound=nn.Module)

Method: TypeAlias = Callable[[ModelT, Tensor, Tensor], Tensor]


class Background(NamedTuple):
    """What a method may know of the data besides the example that it explains.

    Attributes
    ----------
    baseline : Tensor (*input_shape)
        An input that stands for absence: the training median of every feature.
    low, high : float
        The range of the inputs.
    """

    baseline: Tensor
    low: float
    high: float

    @classmethod
    def of(cls, data: Dataset) -> "Background":
        """What `data` say; the lower median, a value that the feature takes."""
        return cls(data.train.x.median(0).values, data.low, data.high)


@dataclass(frozen=True)
class ExplanationMethod:
    """An entry of the table of methods (`pipeline.explanations.methods`).

    Attributes
    ----------
    name : str
        Its key in tables and files.
    label : str
        Its name for people.
    family : str
    speaks_of : str
        ``concepts``: attributions are (B, K), for a `Senn` alone; ``inputs``: (B, *input_shape),
        for any module that answers (B, *input_shape) with logits (B, C).
    build : callable
        The method for data of a background.
    is_costly : bool
        Whether it runs the model hundreds of times per example, and is measured on fewer.
    """

    name: str
    label: str
    family: Literal["self-explaining", "gradient", "propagation", "perturbation"]
    speaks_of: Literal["concepts", "inputs"]
    build: Callable[[Background], Method[Any]]
    is_costly: bool = False
