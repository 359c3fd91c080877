r"""Exact and certified stability of relevances, in input space.

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
"""

import copy
from collections.abc import Sequence
from itertools import accumulate
from operator import mul

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from pipeline.explanations.method import Method, ModelT
from pipeline.metrics.batches import in_batches, rows
from pipeline.metrics.enclosures import Enclosure, IntervalMatrix, Link, enclose
from pipeline.metrics.stability import Box
from pipeline.models.layered import LayeredSenn, layered
from pipeline.models.senn import Senn

_BESIDE = 1e-9  # of the way into the box: how near the anchor the Jacobian is taken
_NUMBERS = 25 * 28 * 28  # interval matrices of 25 images of MNIST stay in a CPU's cache
_MARGIN = 1e-9  # relative; more than the rounding errors of norms in float64


def jacobian_norm(
    model: ModelT, explain: Method[ModelT], x: Tensor, target: Tensor, box: Box, seed: int = 0
) -> Tensor:
    """Spectral norm ‖J_e(x)‖₂ of the explanation's Jacobian at each anchor, in float64.

    Features of no width are left out: they do not move. Blank margins of images put networks
    exactly on a kink, where windows of max-pooling have equals. There the Jacobian is that of the
    linear piece which lies in a random direction, within the box, from the anchor.

    Parameters
    ----------
    explain : a method differentiable in x.
    x : (A, *input_shape), the anchors.
    target : (A,), int64, the classes predicted there.
    seed : of the directions, drawn on the CPU: the same on every device, for every model.

    Returns
    -------
    (A,), float64
    """
    model = copy.deepcopy(model).double()
    start = torch.rand(x.shape, generator=torch.Generator().manual_seed(seed)).to(x)

    def norms(x: Tensor, target: Tensor, start: Tensor) -> Tensor:
        low, high = changes(x, box)
        beside = x.double() + _BESIDE * (low + start * (high - low))
        return spectral_norm(jacobian(model, explain, beside, target), box)

    return in_batches(norms, x, target, start)


def jacobian(model: ModelT, explain: Method[ModelT], x: Tensor, target: Tensor) -> Tensor:
    """The explanation's derivatives (B, K, *input_shape) by the input, at x."""
    x = x.detach().requires_grad_()
    e = explain(model, x, target).flatten(1)
    slopes = [torch.autograd.grad(c.sum(), x, retain_graph=True)[0] for c in e.unbind(1)]
    return torch.stack(slopes, 1)


def spectral_norm(jacobian: Tensor, box: Box) -> Tensor:
    """‖J‖₂ of Jacobians (B, K, *input_shape), without the features that do not move, (B,)."""
    return torch.linalg.matrix_norm((jacobian * (box.half_width > 0)).flatten(2), 2)


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
    layers = layered(model)
    assert isinstance(layers, LayeredSenn)
    network = copy.deepcopy(layers.relevances).double()
    with torch.no_grad():
        size = rows(_NUMBERS, x)
        batches = zip(x.split(size), target.split(size), strict=True)
        return torch.cat([_certify(network, box, *batch) for batch in batches])


def _certify(network: nn.Sequential, box: Box, x: Tensor, target: Tensor) -> Tensor:
    enclosure = Enclosure(x.double(), *changes(x, box))
    links: list[Link] = []
    for layer in network:
        enclosure, link = enclose(layer, enclosure)
        links.append(link)
    return norm_of_product(links, of_class(enclosure.at, target), box)


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
