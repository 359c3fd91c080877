"""The randomisation check: an explanation of a model must change when the model does.

Adebayo et al. (2018), "Sanity checks for saliency maps": the parameters are randomised layer by
layer, from the output back (cascading), and explanations before and after are compared by the rank
correlation of their absolute values. A method that is none the wiser shows the input, or the
architecture, and not what was learned.
"""

import copy
from itertools import zip_longest

import torch
from torch import Tensor, nn

from pipeline.explanations.method import Method, ModelT
from pipeline.metrics.batches import in_batches
from pipeline.metrics.faithfulness import correlation
from pipeline.metrics.removal import there
from pipeline.models.layered import LayeredSenn, layered


def layers_from_output(model: nn.Module) -> list[list[nn.Module]]:
    """The layers of `model` that have parameters, the last first, as they are randomised.

    A `Senn` has two last layers, of its relevances and of its concepts: its two branches are gone
    back through side by side. The layers of any other module are taken to be in order.
    """
    layers = layered(model)
    parts = (layers.relevances, layers.concepts) if isinstance(layers, LayeredSenn) else (layers,)
    branches = (
        [layer for layer in part.modules() if list(layer.parameters(recurse=False))]
        for part in parts
    )
    steps = zip_longest(*(reversed(branch) for branch in branches))
    return [[layer for layer in step if layer is not None] for step in steps]


def cascade(model: ModelT) -> list[ModelT]:
    """Copies of `model` with its last layer's parameters shuffled, its last two layers', ….

    Every parameter tensor keeps its numbers, in another order: the scale of a layer stays.
    """
    generator = torch.Generator().manual_seed(0)
    copies: list[ModelT] = []
    for _ in layers_from_output(model):
        model = copy.deepcopy(model)
        for layer in layers_from_output(model)[len(copies)]:
            for parameter in layer.parameters(recurse=False):
                order = torch.randperm(parameter.numel(), generator=generator)
                shuffled = parameter.detach().flatten()[order.to(parameter.device)]
                parameter.data.copy_(shuffled.view_as(parameter))
        copies.append(model)
    return copies


def similarities(
    model: ModelT, explain: Method[ModelT], x: Tensor, target: Tensor, randomised: list[ModelT]
) -> Tensor:
    """Spearman's correlation of |e(x)| between `model` and each of `randomised`.

    Parameters
    ----------
    randomised : from `cascade`.

    Returns
    -------
    (N, D), float64; NaN, undefined, where an explanation is constant. Of texts only words count.
    """

    def correlations(x: Tensor, target: Tensor) -> Tensor:
        e = explain(model, x, target).flatten(1)
        counted = there(x, e.shape[1])
        before = _ranks(e, counted)
        after = [_ranks(explain(other, x, target).flatten(1), counted) for other in randomised]
        return torch.stack([correlation(before, ranks, counted) for ranks in after], 1)

    return in_batches(correlations, x, target)


def _ranks(e: Tensor, counted: Tensor) -> Tensor:
    """Ranks of absolute values in each row, the mean of those tied, (B, K), float64.

    What is not counted comes first.
    """
    from scipy.stats import rankdata  # slow to import: not before a method is scored

    magnitudes = e.detach().abs().where(counted, -1)
    return torch.from_numpy(rankdata(magnitudes.cpu().numpy(), axis=1)).to(e.device)
