r"""The local Lipschitz constant of relevances, bracketed: found ≤ L ≤ certified.

    L(x) = max ‖J_e(x')‖₂ over x' in the box around x,

the largest ratio ‖e(x') − e(x'')‖ / ‖x' − x''‖ between any two points of the box. Equation 5 of
the paper, in input space, takes x' = x, and is never larger. `exact_constant` of
`activation_patterns` is L itself, for perceptrons; in general there are two bounds:

- `found_constant`: the largest norm met by gradient ascent from the anchor and from random points;
- `certified_constant`: what the layers' enclosures allow (as `certified`, but with derivatives for
  secants). Enclosures are tightened by `linear_bounds`, and each block of convolution, max-pooling
  and ReLU is enclosed as a whole.

So certified / found says how far both can be from the truth together.
"""

import copy

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from pipeline.core.arithmetic import square_root
from pipeline.explanations.method import Method
from pipeline.metrics.batches import in_batches, rows
from pipeline.metrics.certified import (
    changes,
    jacobian_norm,
    norm_of_product,
    of_class,
)
from pipeline.metrics.enclosures import (
    ROUNDING,
    Enclosure,
    IntervalMatrix,
    Link,
    enclose,
    relu_derivatives,
)
from pipeline.metrics.linear_bounds import Step, tightened
from pipeline.metrics.pooled import largest_differences, shifted_kernels, through, window_of
from pipeline.metrics.stability import Box
from pipeline.models.layered import LayeredSenn, layered
from pipeline.models.senn import Senn

_TINY = 1e-30  # the norm of a gradient that is none
_NUMBERS = 28 * 28  # what linear bounds of one image of MNIST need just fits into a CPU's cache


def certified_constant(
    model: Senn, x: Tensor, target: Tensor, box: Box, linear: bool = True
) -> Tensor:
    """Upper bound of L on each anchor's box; all else is as for `certified_lipschitz`.

    Parameters
    ----------
    linear : tighten the enclosures by linear bounds. The tighter of both bounds counts.
    """
    layers = layered(model)
    assert isinstance(layers, LayeredSenn)
    network = copy.deepcopy(layers.relevances).double()

    def certify(x: Tensor, target: Tensor) -> Tensor:
        bound = norm_of_product(*_enclosed(network, x, target, box), box)
        if linear:
            bound = torch.minimum(bound, norm_of_product(*_tightly(network, x, target, box), box))
        return bound

    with torch.no_grad():
        size = rows(_NUMBERS, x)
        batches = zip(x.split(size), target.split(size), strict=True)
        return torch.cat([certify(*batch) for batch in batches])


def _enclosed(
    network: nn.Sequential, x: Tensor, target: Tensor, box: Box
) -> tuple[list[Link], IntervalMatrix]:
    """The links of all layers, from interval bounds alone, and what takes the target's output."""
    over, links = Enclosure(x.double(), *changes(x, box)), []
    for layer in network:
        over, link = enclose(layer, over, from_anchor=False)
        links.append(link)
    return links, of_class(over.at, target)


def _tightly(
    network: nn.Sequential, x: Tensor, target: Tensor, box: Box
) -> tuple[list[Link], IntervalMatrix]:
    """The same from linear bounds, with one link for every block of convolution and pooling."""
    over, links, path = Enclosure(x.double(), *changes(x, box)), [], []
    layers = list(network)
    for index, layer in enumerate(layers):
        path.append(Step(layer, over))
        after, link = enclose(layer, over, from_anchor=False)
        if isinstance(layer, nn.Linear | nn.Conv2d):
            after = tightened(path, after)
        links.append(link)
        match layers[max(0, index - 2) : index + 1]:
            case [*_, nn.Conv2d() as convolution, nn.MaxPool2d(kernel_size=int(size))]:
                differences = largest_differences(convolution, path[-2].before, over, size)
                path[-1] = Step(layer, over, differences)
            case nn.Conv2d(), nn.MaxPool2d(), nn.ReLU():
                links[-3:] = [_block(path[-3], path[-2], path[-1], links[-3])]
        over = after
    return links, of_class(over.at, target)


def _block(source: Step, pooling: Step, relu: Step, link: Link) -> Link:
    """The link of a convolution, max-pooling and ReLU together.

    A unit's derivative is a mean of its window's shifted kernels, of those that can be the largest,
    and of 0 if the unit can be inactive: between the least and the largest of them, pixel by
    pixel. Layer by layer, the kernels' deviations would add up.

    Parameters
    ----------
    source, pooling, relu : the three layers, as parts of a path.
    link : the convolution's.
    """
    convolution, layer = source.layer, pooling.layer
    assert isinstance(convolution, nn.Conv2d) and isinstance(layer, nn.MaxPool2d)
    assert pooling.differences is not None
    size = window_of(layer)
    possible = (pooling.differences >= 0).all(-1)[..., None, None, None]
    kernels = shifted_kernels(convolution, size)[:, :, None, None]
    lowest, highest = (
        torch.stack([kernel.where(possible.select(4, i), end) for i, kernel in enumerate(kernels)])
        for end in (torch.inf, -torch.inf)
    )
    always, ever = (slopes[..., None, None, None] for slopes in relu_derivatives(relu.before))
    low, high = lowest.amin(0), highest.amax(0)
    low, high = ever * torch.minimum(low, low * always), ever * torch.maximum(high, high * always)
    between = IntervalMatrix((low + high) / 2, (high - low) / 2)
    reach, shape = between.centre.abs() + between.radius, source.before.at.shape[1:]

    def pull(matrix: IntervalMatrix) -> IntervalMatrix:
        spread = matrix.radius + ROUNDING * (matrix.centre.abs() + matrix.radius)
        radius = through(matrix.centre.abs(), between.radius, size, shape)
        return IntervalMatrix(
            through(matrix.centre, between.centre, size, shape),
            radius + through(spread, reach, size, shape),
        )

    return Link(pull, link.norm)


def found_constant(
    model: Senn,
    explain: Method[Senn],
    x: Tensor,
    target: Tensor,
    box: Box,
    steps: int,
    restarts: int,
) -> Tensor:
    """Largest ‖J_e‖₂ found in each anchor's box, a lower bound of L, (A,), float64.

    Projected gradient ascent, from next to the anchor and from random points of the box, in steps
    that shrink from half the box's diagonal to nothing. The gradient is that of ‖uᵀJ‖ with u the
    first left singular vector; of a network of linear pieces it is 0, and the starts count.

    Parameters
    ----------
    explain, x, target : as for `jacobian_norm`.
    steps, restarts : of the ascent, and how many random points it starts from.
    """
    generator = torch.Generator().manual_seed(0)
    starts = torch.rand((restarts, *x.shape), generator=generator).to(x)

    def largest(x: Tensor, target: Tensor, start: Tensor) -> Tensor:
        return _ascend(exact, explain, box, steps, x.double(), target, start.double())

    exact = copy.deepcopy(model).double()
    anchors = jacobian_norm(model, explain, x, target, box)
    found = [in_batches(largest, x, target, start) for start in starts]
    return torch.stack([anchors, *found]).amax(0)


def _ascend(
    model: Senn,
    explain: Method[Senn],
    box: Box,
    steps: int,
    x: Tensor,
    target: Tensor,
    start: Tensor,
) -> Tensor:
    """The largest norm met on the way from `start`, of the unit cube."""
    moves = (box.half_width > 0).to(x)
    low, high = box.ends(x)
    point, best = low + start * (high - low), x.new_zeros(len(x))
    half_diagonal = square_root(moves.sum())
    for step in range(steps + 1):
        point.requires_grad_()
        e = explain(model, point, target).flatten(1)
        slopes = [torch.autograd.grad(c.sum(), point, retain_graph=True)[0] for c in e.unbind(1)]
        jacobian = (torch.stack(slopes, 1) * moves).flatten(2)
        squares, vectors = torch.linalg.eigh(jacobian @ jacobian.mT)
        best = torch.maximum(best, square_root(squares[:, -1].clamp(min=0)))
        if step == steps:
            break
        (pulled,) = torch.autograd.grad((e * vectors[..., -1]).sum(), point, create_graph=True)
        if not pulled.requires_grad:
            break
        (gradient,) = torch.autograd.grad((pulled * moves).square().sum(), point)
        uphill = normalize((gradient * box.half_width).flatten(1), eps=_TINY).view_as(point)
        size = (1 - step / steps) ** 2 * half_diagonal
        point = (point.detach() + size * box.half_width * uphill).clamp(low, high)
    return best
