r"""The local Lipschitz constant of a ReLU perceptron's relevances, exactly.

Such a network is linear wherever the same units are active: on a polytope of the input space for
every *activation pattern*. So the largest ‖J_e‖₂ in a box is that of one of the patterns that the
box meets. They are enumerated layer by layer, one unit at a time: where a unit can have both signs,
each is a branch, with a constraint more. A branch is left as soon as even its interval bound is no
larger than the largest norm so far (branch and bound, as in Jordan & Dimakis 2020).

Whether a sign is possible is a linear program, which HiGHS solves to within 1e-7. Patterns that the
box misses by less than that count as met, so that none is missed.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.core.errors import PipelineError
from pipeline.metrics.certified import changes
from pipeline.metrics.stability import Box
from pipeline.models.layered import LayeredSenn, layered
from pipeline.models.senn import Senn

_TOLERANCE = 1e-7  # of HiGHS; constraints are scaled so that units change by at most 1
_OPTIMAL, _INFEASIBLE = 0, 2  # what `linprog` says; else it does not know
_MARGIN = 1e-9  # relative; norms that near count as equal


class Affine(NamedTuple):
    """z = `weight` x + `bias`, of shapes (outputs, inputs) and (outputs,)."""

    weight: np.ndarray
    bias: np.ndarray


class _Branch(NamedTuple):
    """The points of the box at which the units up to some of layer `depth` have given signs.

    `units` are that layer's before their activation, by the change from the anchor; `active` says
    1, 0, or NaN where it is open; each of `constraints` is ≤ 0 on the branch.
    """

    depth: int
    units: Affine
    active: np.ndarray
    constraints: Affine


def exact_constant(
    model: Senn, x: Tensor, target: Tensor, box: Box, found: Tensor, branches: int
) -> Tensor:
    """Largest ‖J_e‖₂ in each anchor's box, of relevances that are a ReLU perceptron.

    Parameters
    ----------
    found : (N,), lower bounds, such as `found_constant`; the better, the fewer branches.
    branches : how many an anchor may need.

    Returns
    -------
    (N,), float64; NaN, undefined, for an anchor that would need more branches.

    Raises
    ------
    PipelineError
        If the relevances are no perceptron.
    """
    layers = layered(model)
    assert isinstance(layers, LayeredSenn)
    *hidden, last = _perceptron(layers.relevances)
    unflatten = layers.relevances[-1]
    assert isinstance(unflatten, nn.Unflatten)
    _, classes = unflatten.unflattened_size
    moves = (box.half_width > 0).flatten().cpu().numpy()
    ends = (end.flatten(1).cpu().numpy() for end in changes(x, box))
    points = x.double().flatten(1).cpu().numpy()
    values = []
    anchors = zip(points, target.tolist(), found.tolist(), *ends, strict=True)
    for point, label, least, low, high in anchors:
        chosen = last.weight.reshape(-1, classes, last.weight.shape[1])[:, label]
        first = [Affine(layer.weight, layer.bias + layer.weight @ point) for layer in hidden[:1]]
        search = _Search([*first, *hidden[1:]], chosen, low, high, moves, least)
        values.append(search.largest(branches))
    return torch.tensor(values, dtype=torch.float64, device=x.device)


def _perceptron(layers: nn.Sequential) -> list[Affine]:
    linear = [layer for layer in layers if isinstance(layer, nn.Linear)]
    between: list[type[nn.Module]] = [nn.Linear, nn.ReLU]
    expected = [nn.Flatten, *(between * len(linear))[:-1], nn.Unflatten]
    if [type(layer) for layer in layers] != expected:
        names = ", ".join(type(layer).__name__ for layer in layers)
        raise PipelineError(
            f"no activation patterns of {names}: only of linear layers with ReLU between them"
        )
    return [
        Affine(*(t.detach().double().cpu().numpy() for t in (layer.weight, layer.bias)))
        for layer in linear
    ]


@dataclass
class _Search:
    """Branch and bound over one anchor's box.

    `hidden` are the layers with activation, the first by the change from the anchor; `last` is the
    matrix after them. Changes are between `low` and `high`, and count where the input `moves`;
    `best` is a norm that is known to be reached.
    """

    hidden: list[Affine]
    last: np.ndarray
    low: np.ndarray
    high: np.ndarray
    moves: np.ndarray
    best: float

    def largest(self, branches: int) -> float:
        """The largest norm; NaN if it needs more than so many branches."""
        if not self.hidden:
            return self._norm(self.last)
        none = Affine(np.zeros((0, len(self.low))), np.zeros(0))
        open_branches = [self._branch(0, self.hidden[0], none)]
        for _ in range(branches):
            open_branches += self._visit(open_branches.pop())
            if not open_branches:
                return self.best
        return np.nan

    def _branch(self, depth: int, units: Affine, constraints: Affine) -> _Branch:
        """With the signs that the box alone decides."""
        least, most = self._range(units)
        active = np.where(least >= 0, 1.0, np.where(most <= 0, 0.0, np.nan))
        return _Branch(depth, units, active, constraints)

    def _visit(self, branch: _Branch) -> list[_Branch]:
        """The branches that it falls into; `best`, if it is a whole pattern."""
        if self._bound(branch) <= (1 + _MARGIN) * self.best:
            return []
        unknown = np.isnan(branch.active).nonzero()[0]
        if len(unknown):
            return self._both_signs(branch, unknown[0])
        passed = Affine(
            *(branch.active[:, None] * branch.units.weight, branch.active * branch.units.bias)
        )
        if branch.depth + 1 == len(self.hidden):
            self.best = max(self.best, self._norm(self.last @ passed.weight))
            return []
        weight, bias = self.hidden[branch.depth + 1]
        units = Affine(weight @ passed.weight, weight @ passed.bias + bias)
        return [self._branch(branch.depth + 1, units, branch.constraints)]

    def _both_signs(self, branch: _Branch, unit: int) -> list[_Branch]:
        """The branch with the unit inactive, and active, as far as they are possible."""
        parts = []
        weight, bias = branch.units.weight[unit], branch.units.bias[unit]
        scale = np.abs(weight) @ np.maximum(-self.low, self.high)
        for active, sign in ((0.0, 1.0), (1.0, -1.0)):
            row = Affine(sign * weight / scale, sign * bias / scale)
            if self._is_possible(row, branch.constraints):
                known = branch.active.copy()
                known[unit] = active
                constraints = Affine(
                    np.vstack([branch.constraints.weight, row.weight]),
                    np.append(branch.constraints.bias, row.bias),
                )
                parts.append(branch._replace(active=known, constraints=constraints))
        return parts

    def _is_possible(self, row: Affine, constraints: Affine) -> bool:
        """Whether `row` is ≤ 0 somewhere on a branch; in the box it is."""
        if not len(constraints.bias):
            return True
        from scipy.optimize import linprog  # slow to import

        ends = np.stack([self.low, self.high], 1)
        least = linprog(row.weight, constraints.weight, -constraints.bias, bounds=ends)
        if least.status == _INFEASIBLE:
            return False
        return least.status != _OPTIMAL or least.fun + row.bias <= _TOLERANCE

    def _bound(self, branch: _Branch) -> float:
        """An upper bound of the norms on the branch: intervals of all slopes, from the left."""
        least, most = self._range(branch.units)
        lowest = np.where(np.isnan(branch.active), 0.0, branch.active)
        highest = np.where(np.isnan(branch.active), 1.0, branch.active)
        slopes, later = [(lowest, highest)], self.hidden[branch.depth + 1 :]
        least, most = highest * least.clip(0), highest * most.clip(0)
        for weight, bias in later:
            middle, half = (
                weight @ ((most + least) / 2) + bias,
                np.abs(weight) @ ((most - least) / 2),
            )
            least, most = middle - half, middle + half
            slopes.append(((least > 0).astype(float), (most > 0).astype(float)))
            least, most = least.clip(0), most.clip(0)
        centre, radius = self.last, np.zeros_like(self.last)
        weights = [*(layer.weight for layer in reversed(later)), branch.units.weight]
        for (lowest, highest), weight in zip(reversed(slopes), weights, strict=True):
            radius = np.abs(centre) * (highest - lowest) / 2 + radius * highest
            centre = centre * (highest + lowest) / 2
            centre, radius = centre @ weight, radius @ np.abs(weight)
        return min(self._norm(centre) + self._norm(radius), self._norm(np.abs(centre) + radius))

    def _range(self, units: Affine) -> tuple[np.ndarray, np.ndarray]:
        """The least and the largest value of each unit on the box."""
        up, down = units.weight.clip(min=0), units.weight.clip(max=0)
        return (
            units.bias + up @ self.low + down @ self.high,
            units.bias + up @ self.high + down @ self.low,
        )

    def _norm(self, matrix: np.ndarray) -> float:
        return float(np.linalg.norm(matrix * self.moves, 2))
