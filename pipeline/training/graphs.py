"""CUDA graphs: the kernels of a computation, recorded once, launched by one call from then on."""

import gc
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from pipeline.training.batches import each_tensor


class Replayed:
    """`function` of nested tuples of tensors on a GPU, recorded at the first call, then replayed.

    It must compute the same operations every time, look at no value, and make no tensor that it
    finds again at the next call: a recording reads and writes the same memory for ever. Inputs are
    copied to where the recorded ones lay, results are copies.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        unchanged: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """`unchanged` undoes, at its end, what calls of `function` changed meanwhile.

        One call precedes the recording, as libraries set themselves up when first used.
        """
        self.function, self.unchanged = function, unchanged
        self.graph: torch.cuda.CUDAGraph | None = None
        self.inputs: Any = None
        self.results: Any = None

    def __call__(self, *inputs: Any) -> Any:
        if self.graph is None:
            self.graph = self._record(inputs)
        each_tensor(Tensor.copy_, self.inputs, inputs)
        self.graph.replay()
        return each_tensor(Tensor.clone, self.results)

    def _record(self, inputs: Any) -> torch.cuda.CUDAGraph:
        gc.collect()  # an old recording that ended during this one would spoil it
        self.inputs = each_tensor(Tensor.clone, inputs)
        beside = torch.cuda.Stream()
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside), self.unchanged():
            self.function(*self.inputs)
        torch.cuda.current_stream().wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.results = self.function(*self.inputs)
        return graph
