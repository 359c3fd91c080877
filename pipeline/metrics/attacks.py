r"""Attacks on concepts: images that look the same, with the same prediction and other concepts.

Zheng, Fernandes & Prakash 2019 ask whether SENN's concepts are robust: they
maximise ‖h(x') − h(x)‖ in an L∞ ball around the image, subject to the same predicted class. Here
by projected gradient ascent, all images at once. While the prediction is kept, a point moves up the
gradient of the displacement; when it is lost, up that of the margin (switching gradients, Polyak
1967). The farthest point met that keeps the prediction counts.

What a displacement means is seen beside natural ones: the mean distance to other test images, of
the same class and of the others.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from pipeline.core.dataset import Dataset
from pipeline.core.params import Attack
from pipeline.metrics.batches import in_batches, predict
from pipeline.metrics.measurement import drawn
from pipeline.metrics.neighbours import apart
from pipeline.metrics.stability import Box
from pipeline.models.senn import Senn

_START_SEED = 0


_PARTS: dict[str, Callable[[Senn, Tensor], Tensor]] = {
    "concepts": lambda model, x: model.conceptizer.encode(x).detach(),
    "relevances": lambda model, x: model.parameterizer(x).flatten(1).detach(),
}


def ball(data: Dataset, radius: float) -> Box:
    """The L∞ ball of `radius`, in units of raw pixels in [0, 1], cut off at the data's range."""
    assert not isinstance(data.std, tuple)  # it is the same for all pixels
    half_width = torch.full(data.input_shape, radius / data.std, device=data.test.x.device)
    return Box(half_width, data.low, data.high)


def attack_concepts(
    model: Senn, x: Tensor, target: Tensor, within: Box, steps: int, start: Tensor
) -> Tensor:
    """Points of the box around x with the prediction of x and concepts far from its own, as x.

    Parameters
    ----------
    steps : of the ascent, of the sign of the gradient; they shrink from half the box to nothing.
    start : as x, where to start from; what is outside the box is projected.

    Returns
    -------
    (N, *input_shape); x itself where no other point met keeps the prediction.
    """

    def ascend(x: Tensor, target: Tensor, start: Tensor) -> Tensor:
        low, high = within.ends(x)
        h = model.conceptizer.encode(x).detach()
        farthest, result = x.new_zeros(len(x)), x
        point = start.clamp(low, high)
        for step in range(steps + 1):
            point.requires_grad_()
            concepts = model.conceptizer.encode(point)
            moved = (concepts - h).square().sum(1)
            margin = _margin(model.aggregator(concepts, model.parameterizer(point)), target)
            better = (margin > 0) & (moved > farthest)
            farthest = moved.detach().where(better, farthest)
            result = point.detach().where(better.view(-1, *[1] * (x.ndim - 1)), result)
            if step == steps:
                break
            (gradient,) = torch.autograd.grad(moved.where(margin > 0, margin).sum(), point)
            size = (1 - step / steps) * within.half_width
            point = (point.detach() + size * gradient.sign()).clamp(low, high)
        return result

    return in_batches(ascend, x, target, start)


def attacked_images(
    model: Senn, data: Dataset, x: Tensor, radii: Sequence[float], steps: int
) -> list[Tensor]:
    """x, attacked at every radius: first from a random point, then from the last radius' result.

    Parameters
    ----------
    x : (N, *input_shape), images of the dataset.
    radii : in raw pixels, ascending.
    steps : per radius.
    """
    target = predict(model, x)
    generator = torch.Generator().manual_seed(_START_SEED)
    away = 2 * torch.rand(x.shape, generator=generator).to(x) - 1
    attacked = [x + away * ball(data, radii[0]).half_width]
    for radius in radii:
        near = ball(data, radius)
        attacked.append(attack_concepts(model, x, target, near, steps, attacked[-1]))
    return attacked[1:]


def attack(model: Senn, data: Dataset, settings: Attack) -> dict[str, Tensor]:
    """Attack test images, drawn at random once for all models.

    Returns
    -------
    How far concepts and relevances moved, in units of natural distances, (N, radii) each.
    ``…_within`` is relative to the mean distance to test images of the same class, ``…_between`` to
    those of other classes; NaN where that is 0.
    """
    test = data.test
    chosen = drawn(test, settings.images)
    x, y = test.x[chosen], test.y[chosen]
    attacked = attacked_images(model, data, x, settings.radii, settings.steps)
    parts = {}
    same = y.unsqueeze(1) == test.y
    others = {"within": same.scatter(1, chosen.unsqueeze(1), False), "between": ~same}  # not itself
    for name, of in _PARTS.items():
        at, everywhere = (in_batches(partial(of, model), x).double() for x in (x, test.x))
        moved = torch.stack(
            [torch.linalg.vector_norm(of(model, point) - at, dim=1) for point in attacked], 1
        )
        for where, among in others.items():
            distance = apart(at, everywhere).where(among, 0).sum(1) / among.sum(1)
            parts[f"{name}_{where}"] = moved / distance.where(distance > 0, torch.nan).unsqueeze(1)
    return parts


def _margin(logits: Tensor, target: Tensor) -> Tensor:
    """The target's logit less the largest other, (N,)."""
    others = logits.scatter(1, target.unsqueeze(1), -torch.inf)
    return logits.gather(1, target.unsqueeze(1)).squeeze(1) - others.amax(1)
