"""Occlusion, Shapley values and LIME: what is f_c of an input without some of its patches?

In the call shape of all methods; not differentiable in x. `baseline` (*input_shape) stands for
absence. A method chooses *sets* of patches that are present, asks the model for f_c of each, and
makes of the answers what a patch is worth; that is spread evenly over the patch's features, so a
sum over features is a sum over patches. Patches that do not differ from the baseline are worth 0
and are not asked about. Draws have a fixed seed: they are the same for all examples in which
equally many patches differ, the orders of Shapley sampling for all examples.

Where all patches differ, numbers are captum's (0.9.0, Kokhlikyan et al. 2020) up to rounding, of
occlusion and Shapley sampling always. captum asks about all patches, and about some sets twice.
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.core.arithmetic import square_root
from pipeline.core.dataset import patches
from pipeline.metrics.batches import at_once
from pipeline.models.senn import logits

SHAPLEY_PERMUTATIONS = 25
KERNEL_SHAP_SAMPLES = 1000
LIME_SAMPLES = 500
LIME_KERNEL_WIDTH = 0.25  # in cosine distances, as in Ribeiro's implementation
LIME_RIDGE = 1.0  # as there
EXACTLY = 1e6  # the weight of samples that the linear model must agree with

FORWARD_BATCH = 200  # inputs per pass; on CPUs more do not fit the cache

_SEED = 0

Chosen = tuple[Tensor, Callable[[Tensor], Tensor]]
"""The sets to ask about, (S, G) bool, and a function that makes of the answers, (S,) float64, what
each patch is worth, (G,)."""

Choose = Callable[[Tensor], Chosen]
"""Given which patches differ from the baseline, (G,) bool."""


def occlusion(model: nn.Module, x: Tensor, target: Tensor, baseline: Tensor) -> Tensor:
    """The change f_c(x) - f_c(x without the patch).

    Zeiler & Fergus 2014, section 4.2, with patches that do not overlap.
    """
    return _explained(_removed_alone, model, x, target, baseline)


def shapley_sampling(model: nn.Module, x: Tensor, target: Tensor, baseline: Tensor) -> Tensor:
    """Shapley values of the patches, estimated.

    The mean change that a patch makes when patches are added in random orders (Castro, Gómez &
    Tejada 2009). For any orders, the sum is f_c(x) - f_c(b).
    """
    return _explained(_added_in_turn, model, x, target, baseline)


def kernel_shap(model: nn.Module, x: Tensor, target: Tensor, baseline: Tensor) -> Tensor:
    """Shapley values of the patches as a regression.

    Lundberg & Lee 2017, theorem 2: least squares weighted by the Shapley kernel, on random sets of
    patches. The sum is f_c(x) - f_c(b), because x and b have a weight of a million.
    """
    from sklearn.linear_model import LinearRegression  # slow to import: not before it is run

    def weights(present: Tensor) -> Tensor:
        is_end = present.all(1) | ~present.any(1)
        return torch.where(is_end, EXACTLY, 1.0)

    draw = partial(shapley_sets, KERNEL_SHAP_SAMPLES)
    choose = partial(_regressed, draw, LinearRegression, weights)
    return _explained(choose, model, x, target, baseline)


def lime(model: nn.Module, x: Tensor, target: Tensor, baseline: Tensor) -> Tensor:
    """A linear model of presence near x.

    Ribeiro, Singh & Guestrin 2016, section 3, as in their implementation: ridge regression on
    random halves of the patches, which stand for superpixels, weighted by a kernel of the cosine
    distance between presence and ones.
    """
    from sklearn.linear_model import Ridge

    def weights(present: Tensor) -> Tensor:
        distances = 1 - square_root(present.float().mean(1)).double()
        closeness = [math.exp(-(d**2) / (2 * LIME_KERNEL_WIDTH**2)) for d in distances.tolist()]
        return torch.tensor(closeness)

    draw = partial(lime_sets, LIME_SAMPLES)
    choose = partial(_regressed, draw, partial(Ridge, alpha=LIME_RIDGE), weights)
    return _explained(choose, model, x, target, baseline)


@lru_cache(maxsize=64)
def shapley_sets(count: int, players: int) -> Tensor:
    """All, none, and random sets, drawn as the Shapley kernel weighs them: (count, players) bool.

    The kernel of all sets of k is p(k) ∝ (M - 1) / (k (M - k)) of M players. A set of k are the
    largest k of M normal numbers. One player has all and none alone.
    """
    generator = torch.Generator().manual_seed(_SEED)
    sizes = torch.arange(players)
    kernel = (players - 1) / (sizes * (players - sizes))
    kernel[0] = 0
    sets = [torch.ones(players).bool(), torch.zeros(players).bool()]
    while players > 1 and len(sets) < count:
        size = int(torch.multinomial(kernel, 1, generator=generator))
        values = torch.randn(players, generator=generator)
        sets.append(values > values.kthvalue(players - size).values)
    return torch.stack(sets)


@lru_cache(maxsize=64)
def lime_sets(count: int, players: int) -> Tensor:
    """Random halves, (count, players) bool."""
    generator = torch.Generator().manual_seed(_SEED)
    return torch.full((count, players), 0.5).bernoulli(generator=generator).bool()


@lru_cache(maxsize=64)
def shapley_turns(permutations: int, patches: int) -> Tensor:
    """When each patch is added, in random orders: (permutations, patches), 0 for the first."""
    generator = torch.Generator().manual_seed(_SEED)
    orders = [torch.randperm(patches, generator=generator) for _ in range(permutations)]
    return torch.stack(orders).argsort(1)


def _removed_alone(differs: Tensor) -> Chosen:
    """What f_c loses when a patch is removed.

    Sets: all patches; then, for each that differs, all but that one.
    """
    removed = torch.eye(len(differs), dtype=torch.bool)[differs]
    sets = torch.cat([torch.ones(1, len(differs), dtype=torch.bool), ~removed])

    def drops(answers: Tensor) -> Tensor:
        worth = answers.new_zeros(len(differs))
        worth[differs] = answers[0] - answers[1:]
        return worth

    return sets, drops


def _added_in_turn(differs: Tensor) -> Chosen:
    """What f_c gains when a patch is added, mean over orders.

    Sets: no patches; then, for each order, the first, the first two, …, all of those that differ.
    """
    turn, count = shapley_turns(SHAPLEY_PERMUTATIONS, len(differs)), int(differs.sum())
    # Where each patch comes in each order, (permutations, G): those that differ come first.
    place = torch.where(differs, turn, len(differs)).argsort(dim=1, stable=True).argsort(1)
    present = place.unsqueeze(1) <= torch.arange(count).unsqueeze(1)
    sets = torch.cat([torch.zeros(1, len(differs), dtype=torch.bool), present.flatten(0, 1)])

    def gains(answers: Tensor) -> Tensor:
        if not count:
            return answers.new_zeros(len(differs))
        without = answers[:1].expand(len(turn), 1)
        in_turn = torch.cat([without, answers[1:].view(len(turn), count)], 1).diff()
        return in_turn.gather(1, place.clamp(max=count - 1)).mean(0)

    return sets, gains


def _regressed(
    draw: Callable[[int], Tensor],
    regression: Callable[[], Any],
    weights: Callable[[Tensor], Tensor],
    differs: Tensor,
) -> Chosen:
    """The coefficients of a `regression` of the answers on presence, in sets that `draw` makes.

    It is about the patches that differ, or all if only one does or none; the others are as the
    baseline is.
    """
    players = differs if differs.sum() > 1 else torch.ones_like(differs)
    drawn = draw(int(players.sum()))
    sets = torch.ones(len(drawn), len(differs), dtype=torch.bool)
    sets[:, players] = drawn

    def coefficients(answers: Tensor) -> Tensor:
        z, y = drawn.float().numpy(), answers.float().numpy()
        fitted = regression().fit(z, y, weights(drawn).numpy())
        worth = answers.new_zeros(len(differs))
        worth[players] = torch.as_tensor(fitted.coef_, dtype=worth.dtype)
        return worth

    return sets, coefficients


def _explained(
    choose: Choose, model: nn.Module, x: Tensor, target: Tensor, baseline: Tensor
) -> Tensor:
    """What the method that `choose` stands for says of every feature."""
    patch = patches(x.shape[1:])
    features = patch.flatten().bincount()
    is_unlike = (x.detach() != baseline).flatten(1).cpu()
    unlike = torch.zeros(len(x), len(features)).index_add_(1, patch.flatten(), is_unlike.float())
    differing = unlike > 0
    sets, worths = zip(*map(choose, differing), strict=True)
    answers = _answers(model, x.detach(), target, baseline, patch.to(x.device), sets)
    of_patches = [
        worth(values).where(differs, 0)
        for differs, worth, values in zip(differing, worths, answers, strict=True)
    ]
    return (torch.stack(of_patches).to(x.dtype) / features)[:, patch].to(x.device)


@torch.no_grad()
def _answers(
    model: nn.Module,
    x: Tensor,
    target: Tensor,
    baseline: Tensor,
    patch: Tensor,
    sets: Sequence[Tensor],
) -> list[Tensor]:
    """f_c of each example with each of its `sets` of patches present, (S,), float64, on the CPU.

    No set is asked about twice.
    """
    distinct, places = zip(*map(_distinct, sets), strict=True)
    counts = torch.tensor([len(some) for some in distinct])
    which, present = torch.arange(len(x)).repeat_interleave(counts), torch.cat(distinct)
    size = at_once(FORWARD_BATCH, x)
    known = []
    for example, shown in zip(which.split(size), present.split(size), strict=True):
        example, shown = example.to(x.device), shown.to(x.device)
        values = logits(model, torch.where(shown[:, patch], x[example], baseline))
        known.append(values.gather(1, target[example].unsqueeze(1)).squeeze(1))
    of_examples = torch.cat(known).double().cpu().split(counts.tolist())
    return [values[place] for values, place in zip(of_examples, places, strict=True)]


def _distinct(sets: Tensor) -> tuple[Tensor, Tensor]:
    """The different rows of `sets` (S, G), and which of them each row is, (S,)."""
    packed = np.packbits(sets.numpy(), axis=1)
    _, first, place = np.unique(packed, axis=0, return_index=True, return_inverse=True)
    return sets[torch.from_numpy(first)], torch.from_numpy(place).flatten()
