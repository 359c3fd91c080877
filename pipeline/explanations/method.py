"""The call shape all explanation methods share, so that any can be crossed with any metric.

``method(model, x, target) -> attributions``: x (B, *input_shape), `target` (B,) int64 the class to
explain for each example; attributions (B, K) if the method speaks of concepts, (B, *input_shape)
if it speaks of inputs. Models are in evaluation mode, and an example's attributions do not depend
on the others in its batch.
"""

from collections.abc import Callable
from typing import TypeAlias, TypeVar

from torch import Tensor, nn

ModelT = TypeVar("ModelT", bound=nn.Module)

Method: TypeAlias = Callable[[ModelT, Tensor, Tensor], Tensor]
