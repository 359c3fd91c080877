"""Adam (Kingma & Ba 2015, algorithm 1), by torch's fused kernel.

It computes what ``torch.optim.Adam(parameters, lr, fused=True)`` does, which imports torch's
compiler: more than a second in every process.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.optim.adam import adam


class Adam:
    """Takes steps with `parameters`, in place; the memory of its state never moves.

    Attributes
    ----------
    means, squares : list of Tensor
        Running means of the gradients and of their squares, as the parameters.
    steps : list of Tensor
        How many steps were taken; a scalar per parameter, all equal.
    """

    def __init__(self, parameters: Iterable[Tensor], lr: float) -> None:
        self.parameters, self.lr = list(parameters), lr
        self.means = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.squares = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.steps = [torch.zeros((), device=p.device) for p in self.parameters]

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor]) -> None:
        """Take a step along `gradients`, as the parameters, which are contiguous."""
        adam(
            self.parameters,
            [gradient.contiguous() for gradient in gradients],  # the kernel takes memory as it is
            self.means,
            self.squares,
            [],
            self.steps,
            fused=True,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=self.lr,
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
        )
