r"""How much relevances can change in input space: exact and certified ratios, found constants.

How far can `lipschitz_local` be trusted, a search that may miss the worst point? Three numbers for
the ratio of the paper's equation 5 (Alvarez-Melis & Jaakkola 2018), over x' in the box around x,

    ‖e(x) − e(x')‖ / ‖x − x'‖:

- lower: found by `lipschitz_local` with `to_inputs` for `concepts`, so its maximum is no less;
- exact at the anchor (`jacobian_norm`): its limit as the box shrinks, the spectral norm ‖J_e(x)‖₂;
- certified (`certified_lipschitz`): an upper bound, which no point of the box exceeds (Hein &
  Andriushchenko 2017; Weng et al. 2018).

The denominator is the distance of inputs for every model. For tables it is equation 5 itself, where
h(x) = x. Learned concepts map many features to few: some x' ≠ x have h(x') = h(x) and another
explanation, equation 5 has no maximum, and there is nothing to certify.

The Jacobian takes directions as they come; at the edge of the data's range the box is open to one
side only. So lower ≤ certified and exact ≤ certified always, but lower < exact can be.

The local Lipschitz constant of relevances,

    L(x) = max ‖J_e(x')‖₂ over x' in the box around x,

is the largest ratio ‖e(x') − e(x'')‖ / ‖x' − x''‖ between any two points of the box. Equation 5
takes x' = x, and is never larger. `exact_constant` of `activation_patterns` is L itself, for
perceptrons; in general there are two bounds, found ≤ L ≤ certified:

- `found_constant`: the largest norm met by gradient ascent from the anchor and from random points;
- `certified_constant`: what the layers' enclosures allow (as `certified_lipschitz`, but with
  derivatives for secants). Enclosures are tightened by `linear_bounds`, and each block of
  convolution, max-pooling and ReLU is enclosed as a whole.

So certified / found says how far both can be from the truth together.
"""

import copy
from collections.abc import Callable, Sequence
from itertools import accumulate
from operator import mul

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, one_hot

from pipeline.core.arithmetic import square_root
from pipeline.explanations.method import Method, ModelT
from pipeline.metrics.batches import in_batches, rows
from pipeline.metrics.enclosures import (
    Enclosure,
    IntervalMatrix,
    Link,
    enclose,
    relu_derivatives,
)
from pipeline.metrics.linear_bounds import (
    Step,
    largest_differences,
    shifted_kernels,
    through,
    tightened,
    window_of,
)
from pipeline.metrics.stability import Box
from pipeline.models.layered import LayeredSenn, layered
from pipeline.models.senn import Senn

_BESIDE = 1e-9  # of the way into the box: how near the anchor the Jacobian is taken
_MARGIN = 1e-9  # relative; more than the rounding errors of norms in float64
_TINY = 1e-30  # the norm of a gradient that is none
# What stays in a CPU's cache, in numbers of inputs: interval matrices of 25 images of MNIST, and
# what linear bounds need of one.
_OF_INTERVALS, _OF_LINEAR_BOUNDS = 25 * 28 * 28, 28 * 28


def jacobian_norm(
    model: ModelT, explain: Method[ModelT], x: Tensor, target: Tensor, box: Box
) -> Tensor:
    """Spectral norm ‖J_e(x)‖₂ of the explanation's Jacobian at each anchor, in float64.

    Features of no width are left out: they do not move. Blank margins of images put networks
    exactly on a kink, where windows of max-pooling have equals. There the Jacobian is that of the
    linear piece which lies in a random direction, within the box, from the anchor. Directions are
    drawn on the CPU: the same on every device, for every model.

    Parameters
    ----------
    explain : differentiable in x.

    Returns
    -------
    (N,), float64
    """
    model = copy.deepcopy(model).double()
    start = torch.rand(x.shape, generator=torch.Generator().manual_seed(0)).to(x)

    def norms(x: Tensor, target: Tensor, start: Tensor) -> Tensor:
        low, high = changes(x, box)
        beside = x.double() + _BESIDE * (low + start * (high - low))
        slopes = jacobian(model, explain, beside, target) * (box.half_width > 0)
        return torch.linalg.matrix_norm(slopes.flatten(2), 2)

    return in_batches(norms, x, target, start)


def jacobian(model: ModelT, explain: Method[ModelT], x: Tensor, target: Tensor) -> Tensor:
    """The explanation's derivatives (B, K, *input_shape) by the input, at x."""
    x = x.detach().requires_grad_()
    return _derivatives(explain(model, x, target).flatten(1), x)


def _derivatives(e: Tensor, x: Tensor) -> Tensor:
    """Of e (B, K) by x, (B, K, *input_shape); e's graph is kept."""
    slopes = [torch.autograd.grad(c.sum(), x, retain_graph=True)[0] for c in e.unbind(1)]
    return torch.stack(slopes, 1)


def certified_lipschitz(model: Senn, x: Tensor, target: Tensor, box: Box) -> Tensor:
    """Upper bound, on each anchor's box, of the relevances' ratio and of ‖J_e‖₂ at the anchor.

    The change of relevances is a product of matrices, one a layer (see `enclosures`). Wherever it
    is cut in two, its norm is at most that of the left part, an interval matrix, times the norms
    of the layers on the right: the first is tight in small boxes and for few layers, the second
    in large ones, where most units can switch. The smallest of these bounds counts.

    It holds for the network with these weights in exact arithmetic.

    Parameters
    ----------
    x : (A, *input_shape), the anchors.
    target : (A,), int64, the classes predicted there.

    Returns
    -------
    (A,), float64

    Raises
    ------
    PipelineError
        If the network has a part whose layers are not known.
    """

    def bound(network: nn.Sequential, x: Tensor, target: Tensor) -> Tensor:
        return norm_of_product(*_enclosed(network, x, target, box, from_anchor=True), box)

    return _certified(model, x, target, _OF_INTERVALS, bound)


def certified_constant(model: Senn, x: Tensor, target: Tensor, box: Box) -> tuple[Tensor, Tensor]:
    """Upper bounds of L on each anchor's box; all else is as for `certified_lipschitz`.

    Returns
    -------
    The bound, and what it is by intervals alone, without linear bounds: never tighter.
    """

    def bound(network: nn.Sequential, x: Tensor, target: Tensor) -> Tensor:
        enclosed = _enclosed(network, x, target, box, from_anchor=False)
        by_intervals = norm_of_product(*enclosed, box)
        tightly = norm_of_product(*_tightly(network, x, target, box), box)
        return torch.stack([torch.minimum(by_intervals, tightly), by_intervals], 1)

    tight, by_intervals = _certified(model, x, target, _OF_LINEAR_BOUNDS, bound).unbind(1)
    return tight, by_intervals


def _certified(
    model: Senn, x: Tensor, target: Tensor, numbers: int, bound: Callable[..., Tensor]
) -> Tensor:
    """`bound` of the network of relevances, in float64, `numbers` numbers of x at once."""
    layers = layered(model)
    assert isinstance(layers, LayeredSenn)
    network = copy.deepcopy(layers.relevances).double()
    with torch.no_grad():
        size = rows(numbers, x)
        batches = zip(x.split(size), target.split(size), strict=True)
        return torch.cat([bound(network, *batch) for batch in batches])


def _enclosed(
    network: nn.Sequential, x: Tensor, target: Tensor, box: Box, from_anchor: bool
) -> tuple[list[Link], IntervalMatrix]:
    """The links of all layers, from interval bounds alone, and what takes the target's output."""
    over, links = Enclosure(x.double(), *changes(x, box)), []
    for layer in network:
        over, link = enclose(layer, over, from_anchor)
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
        radius = through(matrix.centre.abs(), between.radius, size, shape)
        return IntervalMatrix(
            through(matrix.centre, between.centre, size, shape),
            radius + through(matrix.spread(), reach, size, shape),
        )

    return Link(pull, link.norm)


def norm_of_product(links: Sequence[Link], product: IntervalMatrix, box: Box) -> Tensor:
    """A bound on the spectral norm of ``product``, times what the links do to changes, (B,).

    Where an activation follows all linear layers, as tanh does in the paper's networks for images,
    its slopes D scale rows of the product N of what comes before. ‖DN‖ ≤ ‖HN‖ with H the largest
    slopes, since D = (D/H) H, so that their spread costs nothing.

    Parameters
    ----------
    links : of a network, from the input on.
    product : (B, K, *outputs), such as `of_class`.
    box : whose features of no width are left out.
    """
    # norms[i] is that of all links before link i.
    norms = list(
        accumulate((link.norm for link in links), mul, initial=product.centre.new_ones(()))
    )
    bound = product.norm() * norms.pop()
    for link in reversed(links):
        if link.most is not None and product.chooses():
            product = product._replace(centre=product.centre * link.most.unsqueeze(1))
        else:
            product = link.pull(product)
        bound = torch.minimum(bound, product.norm() * norms.pop())
    moves = box.half_width > 0
    product = IntervalMatrix(product.centre * moves, product.radius * moves)
    return (1 + _MARGIN) * torch.minimum(bound, product.norm())


def of_class(relevances: Tensor, target: Tensor) -> IntervalMatrix:
    """The matrix (B, K, K, C) that takes the target's relevances (B, K) out of all (B, K, C)."""
    _, concepts, classes = relevances.shape
    identity = torch.eye(concepts).to(relevances).unsqueeze(-1)
    chosen = identity * one_hot(target, classes).to(relevances).view(-1, 1, 1, classes)
    return IntervalMatrix(chosen, torch.zeros_like(chosen))


def changes(x: Tensor, box: Box) -> tuple[Tensor, Tensor]:
    """The least and the largest change of each feature within the box, in float64."""
    x, half_width = x.double(), box.half_width.double()
    low = torch.maximum(-half_width, (box.low - x).clamp(max=0))
    return low, torch.minimum(half_width, (box.high - x).clamp(min=0))


def found_constant(
    model: Senn,
    explain: Method[Senn],
    x: Tensor,
    target: Tensor,
    box: Box,
    steps: int,
    restarts: int,
) -> Tensor:
    """Largest ‖J_e‖₂ found in each anchor's box, a lower bound of L, (N,), float64.

    Projected gradient ascent, from next to the anchor and from random points of the box, in steps
    that shrink from half the box's diagonal to nothing. The gradient is that of ‖uᵀJ‖ with u the
    first left singular vector; of a network of linear pieces it is 0, and the starts count.

    Parameters
    ----------
    explain : differentiable in x.
    steps, restarts : of the ascent, and how many random points it starts from.
    """
    exact = copy.deepcopy(model).double()
    generator = torch.Generator().manual_seed(0)
    starts = torch.rand((restarts, *x.shape), generator=generator).to(x)

    def largest(x: Tensor, target: Tensor, start: Tensor) -> Tensor:
        """The largest norm met on the way from `start`, of the unit cube."""
        x, start = x.double(), start.double()
        moves = (box.half_width > 0).to(x)
        low, high = box.ends(x)
        point, best = low + start * (high - low), x.new_zeros(len(x))
        half_diagonal = square_root(moves.sum())
        for step in range(steps + 1):
            point.requires_grad_()
            e = explain(exact, point, target).flatten(1)
            slopes = (_derivatives(e, point) * moves).flatten(2)
            squares, vectors = torch.linalg.eigh(slopes @ slopes.mT)
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

    anchors = jacobian_norm(model, explain, x, target, box)
    found = [in_batches(largest, x, target, start) for start in starts]
    return torch.stack([anchors, *found]).amax(0)
