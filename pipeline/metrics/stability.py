r"""Stability: how much an explanation changes between inputs that are nearly the same.

Two metrics maximise the ratio of the paper's equations 5 and 6,

    ‖e(x) − e(x')‖ / ‖h(x) − h(x')‖,

with e(x') the explanation at x' of the class predicted at the *anchor* x, over x' near x: other
test points (`lipschitz_discrete`), or a continuous neighbourhood (`lipschitz_local`). `concepts`
maps inputs to the space the explanation speaks of: `to_concepts` for SENN's own, `to_inputs` for a
method that attributes to inputs. The third, `noise_distances`, adds noise to x.
"""

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

from pipeline.core.arithmetic import square_root
from pipeline.core.dataset import Dataset, present
from pipeline.explanations.method import Method, ModelT
from pipeline.metrics.batches import BATCH_SIZE, in_batches
from pipeline.metrics.neighbours import apart
from pipeline.models.senn import Senn
from pipeline.models.stacking import of_all

_ROUNDING = 1e-6  # relative error of concepts computed in float32
_TINY = 1e-30  # the norm of a gradient that is none


class Box(NamedTuple):
    """The neighbourhood |x'_d − x_d| ≤ `half_width`_d, low ≤ x'_d ≤ high.

    `half_width` (*input_shape); a feature whose half width is 0 does not move, nor does what is no
    word of a text. `low` and `high` () or (*input_shape), or to be broadcast with it.
    """

    half_width: Tensor
    low: Tensor
    high: Tensor

    @classmethod
    def around(cls, data: Dataset, radius: float) -> "Box":
        """Half as wide as `radius` standard deviations of each feature of `data`, in its range."""
        return cls(radius * data.deviation(), data.low, data.high)

    def ends(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The lowest and the highest value of each feature of x' in the box, each as x."""
        half_width = self.half_width.to(x) * present(x)
        low = (x - half_width).clamp(min=self.low)
        return low, (x + half_width).clamp(max=self.high)


class Search(NamedTuple):
    """How `lipschitz_local` searches.

    Attributes
    ----------
    resolution : float ≥ 0, or a Tensor (M,), one for each of several models
        Concept distances below it count as it.
    steps : int
        Gradient steps from each start; with 0 only the starts count, for any method.
    restarts : int
        Starts.
    """

    box: Box
    resolution: float | Tensor
    steps: int
    restarts: int


Encode = Callable[[ModelT, Tensor], Tensor]


def spread(points: Tensor) -> float:
    """Root-mean-square distance (L2) of points (N, ...) from their mean."""
    return float(square_root(points.flatten(1).var(0, unbiased=False).sum()))


def to_concepts(model: Senn, x: Tensor) -> Tensor:
    """The concepts h(x), (B, K)."""
    return model.conceptizer.encode(x)


def to_inputs(model: object, x: Tensor) -> Tensor:
    """The inputs themselves, (B, features)."""
    return x.flatten(1)


def lipschitz_discrete(
    model: ModelT,
    explain: Method[ModelT],
    x: Tensor,
    target: Tensor,
    others: Tensor,
    neighbours: Tensor,
    concepts: Encode[ModelT],
) -> Tensor:
    """Largest ratio between an anchor and its neighbours in a finite sample (paper, eq. 6).

    Parameters
    ----------
    explain : any explanation method.
    x : (A, *input_shape), the anchors.
    target : (A,), int64, the classes predicted there.
    others : (N, *input_shape)
    neighbours : (A, N), bool, such as `pipeline.metrics.neighbours` chooses.
    concepts : model and inputs to (B, K).

    Returns
    -------
    (A,); NaN, undefined, for an anchor without a neighbour whose concepts differ from its own.
    """
    result = x.new_full((len(x),), torch.nan)
    h_others = in_batches(lambda x: concepts(model, x).flatten(1), others)
    # An explanation is computed once for each class that an anchor nearby needs it for.
    for label in target.unique().tolist():
        anchors = (target == label).nonzero().squeeze(1)
        needed = neighbours[anchors].any(0).nonzero().squeeze(1)
        if len(needed) == 0:
            continue
        explain_class = partial(_explain_class, model, explain, label)
        e_needed = in_batches(explain_class, others[needed])
        for batch in anchors.split(BATCH_SIZE):
            e, h = explain_class(x[batch]).detach(), concepts(model, x[batch]).flatten(1).detach()
            change, distance = apart(e, e_needed), apart(h, h_others[needed])
            differ = distance > _ROUNDING * torch.linalg.vector_norm(h, dim=1, keepdim=True)
            counted = neighbours[batch][:, needed] & differ
            largest = torch.where(counted, change / distance, -torch.inf).amax(1)
            result[batch] = torch.where(counted.any(1), largest, torch.nan)
    return result


def lipschitz_local(
    model: ModelT,
    explain: Method[ModelT],
    x: Tensor,
    target: Tensor,
    concepts: Encode[ModelT],
    search: Search,
) -> Tensor:
    """Largest ratio found in a box around each anchor (paper, eq. 5): a lower bound of the maximum.

    Projected gradient ascent from random points of the box: along the normalised gradient in units
    of the half widths, averaged with the last direction, in steps that shrink from half the box's
    diagonal to nothing. All anchors at once; the best point met counts. Starts are drawn on the
    CPU: the same on every device, for every model.

    Without a resolution equation 5 has no maximum for learned concepts: h maps many features to few
    concepts, so there are x' ≠ x with h(x') = h(x) and another explanation, and the result would
    measure how long the ascent ran.

    Parameters
    ----------
    explain : a method differentiable in x; of one that is not, only the random points count.
    x : (A, *input_shape), the anchors.
    target : (A,), int64, the classes predicted there.
    concepts : model and inputs to (B, K).

    Returns
    -------
    (A,); NaN, undefined, throughout if the resolution is 0, which says that no concept ever
    changes.
    """
    return lipschitz_local_of_all([model], explain, x, target.unsqueeze(0), concepts, search)[0]


def lipschitz_local_of_all(
    models: Sequence[Any],
    explain: Method[Any],
    x: Tensor,
    targets: Tensor,
    concepts: Encode[Any],
    search: Search,
    exactly: bool = False,
    width: int = 1,
) -> Tensor:
    """`lipschitz_local` of several models of one architecture, (M, A).

    All at once, by hardly more operations than one model takes: on a GPU, starting them is what
    takes the time.

    Parameters
    ----------
    x : (A, *input_shape), the anchors, the same of all models.
    targets : (M, A), int64, the classes that each model predicts there.
    search : its resolution a number, or one for each model.
    exactly : measure in float64 at the points found. Where explanations are nearly constant, what
        float32 would measure is its own rounding.
    width : as how many models to compute, the last one repeated to fill up: a model's last bits may
        depend on it. One model alone, with width 1, is computed by its own layers.
    """
    idle = max(0, width - len(models))
    filled = [*models, *[models[-1]] * idle]
    resolution = torch.as_tensor(search.resolution, dtype=torch.float64, device=x.device)
    targets, resolution = (
        torch.cat([of_models, of_models[-1:].repeat_interleave(idle, 0)])
        for of_models in (targets, resolution.expand(len(models)))
    )
    if len(filled) == 1 and search.resolution == 0:
        return x.new_full(targets.shape, torch.nan)

    def pair(model: Any, x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        return explain(model, x, target).flatten(1), concepts(model, x).flatten(1)

    def together(of: Sequence[Any]) -> Explained:
        return of_all(of, pair) if len(of) > 1 else _alone(of[0], pair)

    generator = torch.Generator().manual_seed(0)
    starts = torch.rand(search.restarts, *x.shape, generator=generator).to(x)
    rows = torch.arange(len(x), device=x.device).repeat(search.restarts)
    target = targets.mT  # (A, M)
    ascend = partial(_ascend, together(filled), search, resolution)
    ends = in_batches(ascend, x[rows], target[rows], starts.flatten(0, 1))
    points = ends.unflatten(0, starts.shape[:2]).movedim(0, 1)  # (A, restarts, M, *input_shape)
    if exactly:
        filled, x = [copy.deepcopy(model).double() for model in filled], x.double()
        low, high = (end.unsqueeze(1).unsqueeze(1) for end in search.box.ends(x))
        points = points.double().clamp(low, high)
    explained = together(filled)

    def largest(x: Tensor, target: Tensor, points: Tensor) -> Tensor:
        ratio_at = _squared_ratio(explained, resolution, x, target)
        ratios = torch.stack([ratio_at(point) for point in points.unbind(1)])
        return square_root(ratios.amax(0))

    ratios = in_batches(largest, x, target, points)
    return ratios.where(resolution > 0, torch.nan).mT[: len(models)]


def squared_ratio(
    e: Tensor, h: Tensor, e_anchor: Tensor, h_anchor: Tensor, least: float | Tensor
) -> Tensor:
    """The squared ratio (B, ...) of what explanations (B, ..., E) and concepts (B, ..., K) change.

    They change from what they are at the anchors; `least`, a number or (...), is the resolution's
    square.
    """
    change, distance = ((a - b).square().sum(-1) for a, b in ((e, e_anchor), (h, h_anchor)))
    return change / distance.clamp(min=least)


def noise_distances(
    model: ModelT,
    explain: Method[ModelT],
    x: Tensor,
    target: Tensor,
    noise: Tensor,
    levels: tuple[float, ...],
) -> Tensor:
    """Relative distance ‖e(x + σ n) − e(x)‖ / ‖e(x)‖ at every noise level σ.

    Parameters
    ----------
    noise : n, as x: Gaussian, of each feature's standard deviation; the same at all levels.
    levels : σ, in standard deviations of each feature.

    Returns
    -------
    (N, levels), float64; NaN, undefined, where the explanation at x is 0 throughout.
    """

    def distances(x: Tensor, target: Tensor, noise: Tensor) -> Tensor:
        e = explain(model, x, target).flatten(1).double()
        noisy = torch.cat([x + level * noise for level in levels])
        moved = explain(model, noisy, target.repeat(len(levels))).flatten(1)
        changes = moved.unflatten(0, (len(levels), -1)) - e
        length = torch.linalg.vector_norm(e, dim=1, keepdim=True)
        distance = torch.linalg.vector_norm(changes, dim=2).mT
        return distance / length.where(length > 0, torch.nan)

    return in_batches(distances, x, target, noise)


Explained = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Points (B, M, *input_shape) and classes (B, M), of M models, to (B, M, E) and (B, M, K)."""
Pair = Callable[[ModelT, Tensor, Tensor], tuple[Tensor, Tensor]]
"""The same of one model: (B, *input_shape) and (B,) to explanations (B, E) and concepts (B, K)."""


def _alone(model: ModelT, pair: Pair[ModelT]) -> Explained:
    """As `of_all`, of a single model, computed by its own layers."""

    def explained(points: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        e, h = pair(model, points.squeeze(1), targets.squeeze(1))
        return e.unsqueeze(1), h.unsqueeze(1)

    return explained


def _ascend(
    explained: Explained,
    search: Search,
    resolution: Tensor,
    x: Tensor,
    target: Tensor,
    start: Tensor,
) -> Tensor:
    """Each model's point of the largest ratio met on the way from `start`, of the unit cube.

    Of x and `start` (B, *input_shape) and `target` (B, M); the points (B, M, *input_shape).
    """
    box, steps = search.box, search.steps
    low, high = (end.unsqueeze(1) for end in box.ends(x))
    point = low + start.unsqueeze(1) * (high - low)
    point = point.expand(-1, target.shape[1], *[-1] * (x.ndim - 1))
    if steps == 0:
        return point
    ratio_at = _squared_ratio(explained, resolution, x, target)
    half_diagonal = square_root((box.half_width > 0).sum())
    best, best_point = torch.zeros_like(target, dtype=x.dtype), point
    direction = torch.zeros_like(point).flatten(2)
    for step in range(steps + 1):
        point = point.detach().requires_grad_()
        ratio = ratio_at(point)
        is_better = (ratio.detach() > best).view(*target.shape, *[1] * (x.ndim - 1))
        best_point = point.detach().where(is_better, best_point)
        best = torch.maximum(best, ratio.detach())
        if step == steps:
            break
        (gradient,) = torch.autograd.grad(ratio.sum(), point)
        uphill = normalize((gradient * box.half_width).flatten(2), dim=2, eps=_TINY)
        direction = normalize(direction + uphill, dim=2, eps=_TINY)
        size = (1 - step / steps) ** 2 * half_diagonal
        moved = point.detach() + size * box.half_width * direction.view_as(point)
        point = moved.clamp(low, high)
    return best_point


def _squared_ratio(
    explained: Explained, resolution: Tensor, x: Tensor, target: Tensor
) -> Callable[[Tensor], Tensor]:
    """The squared ratio (B, M) between x and each model's points, as a function of the points."""
    repeated = x.unsqueeze(1).expand(-1, target.shape[1], *x.shape[1:])
    e, h = (part.detach() for part in explained(repeated, target))
    least = resolution.square().to(h)

    def of_points(points: Tensor) -> Tensor:
        return squared_ratio(*explained(points, target), e, h, least)

    return of_points


def _explain_class(model: ModelT, explain: Method[ModelT], label: int, x: Tensor) -> Tensor:
    """Explanations of one class for all of x, flat, (B, K)."""
    target = torch.full((len(x),), label, device=x.device)
    return explain(model, x, target).flatten(1)
