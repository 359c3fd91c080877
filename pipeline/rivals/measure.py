"""Every method on every model of the comparison, by the paper's protocol and by the fair one.

Equations 5 and 6 are measured as the paper has them: the change of an explanation, on its method's
own scale, per change of the concepts, or of the inputs for a method that explains inputs. What
makes methods comparable beside that is in `length`: how long the method's explanations are.
Divided by it, and with distances in units of the training set's `spread`, no method is stable
because its numbers are small. That is one factor for all anchors, so it changes no search.
"""

from functools import cached_property, lru_cache, partial

import numpy as np
import torch
from torch import Tensor

from pipeline.core.arithmetic import square_root
from pipeline.core.cells import Cell
from pipeline.core.dataset import PATCH, Dataset
from pipeline.core.files import File
from pipeline.core.params import Evaluate, Rivals
from pipeline.core.run import Run
from pipeline.explanations.method import Background, Method
from pipeline.metrics.batches import in_batches, predict
from pipeline.metrics.concepts import encode
from pipeline.metrics.faithfulness import faithfulness
from pipeline.metrics.measurement import (
    EXPLAINING,
    Measurement,
    Subject,
    by_experiment,
    dataset_on,
    each,
)
from pipeline.metrics.neighbours import neighbours, within
from pipeline.metrics.removal import (
    ConceptRemoval,
    InputRemoval,
    Removal,
    leave_one_out,
    removal_of_concepts,
)
from pipeline.metrics.stability import (
    Box,
    Encode,
    Search,
    lipschitz_discrete,
    lipschitz_local,
    spread,
    squared_ratio,
    to_concepts,
    to_inputs,
)
from pipeline.models.layers import placed
from pipeline.models.senn import Senn
from pipeline.models.weights import load_cell
from pipeline.rivals.methods import RIVALS, SENN, Rival, rivals_for
from pipeline.rivals.search import maximise

_SEED = 0  # as of `drawn`, which draws from one split where anchors are drawn from three
_CODE = (*EXPLAINING, "rivals/**/*.py")
_MEASURED_BY = ("lipschitz_concept_resolution", "lipschitz_discrete_radius",
                "lipschitz_local_radius", "lipschitz_local_restarts",
                "lipschitz_local_steps")  # fmt: skip

Values = dict[str, list[float]]
Measured = dict[str, list[Values]]
"""Per method, the `measure` of each seed's model."""


def rivals(run: Run) -> Measurement[dict[str, Measured]]:
    """The measurement of every method on every model by `measure`; gathers them by experiment."""
    params, settings = run.params, run.params.rivals
    protocol = settings.model_dump(
        mode="json", exclude={"experiments", "robust_reg", "seeds", "image_seeds", "bootstrap"}
    ) | params.evaluate.model_dump(mode="json", include=set(_MEASURED_BY))
    datasets = {name: params.experiment(name).dataset for name in params.compared()}
    has_images = {name: params.facts_of(one).kind == "images" for name, one in datasets.items()}
    methods = {name: rivals_for(images) for name, images in has_images.items()}
    seeds = {True: settings.image_seeds, False: settings.seeds}
    # The costliest, of images, first.
    pairs = [
        (Cell(name, settings.robust_reg, seed), method)
        for name in sorted(methods, key=lambda name: not has_images[name])
        for seed in params.seeds_of(name)[: seeds[has_images[name]]]
        for method in methods[name]
    ]
    subjects = [
        Subject.of(run, cell, {"method": method, "rivals": protocol}, method)
        for cell, method in pairs
    ]
    gather = partial(by_experiment, pairs, methods)
    work = each(partial(_measure, settings, params.evaluate, run.device))
    return Measurement("rivals", work, _CODE, subjects, gather)


class Arena:
    """What methods compete on: a model, and what they are all measured on.

    Attributes
    ----------
    x, target : Tensor
        The anchors (A, *input_shape) and the classes predicted there. They are drawn from the test
        set and, where that is too small, from the validation and then the training set: no label
        is used.
    """

    def __init__(self, model: Senn, data: Dataset, settings: Rivals, evaluate: Evaluate) -> None:
        self.model, self.data, self.settings, self.evaluate = model, data, settings, evaluate
        count = settings.image_anchors if data.kind == "images" else settings.anchors
        generator = torch.Generator().manual_seed(_SEED)
        splits = (data.test.x, data.valid.x, data.train.x)
        shuffled = [x[torch.randperm(len(x), generator=generator)] for x in splits]
        self.x = torch.cat(shuffled)[:count]
        self.target = predict(model, self.x)
        self.box = Box.around(data, evaluate.lipschitz_local_radius)
        self.baseline = Background.of(data).baseline
        self.inputs = InputRemoval(self.baseline, PATCH)

    @cached_property
    def concepts(self) -> Tensor:
        """Of the training set, (N, K)."""
        return encode(self.model, self.data.train.x)

    @cached_property
    def near(self) -> Tensor:
        """Which test examples are near each other, (N, N) bool."""
        x, radius = self.data.test.x, self.evaluate.lipschitz_discrete_radius
        return neighbours(x, x, within(radius * spread(self.data.train.x)))

    def space(self, rival: Rival) -> tuple[Encode[Senn], float]:
        """What `rival` explains: inputs to points (B, K), and the training set's spread there."""
        if rival.of_concepts:
            return to_concepts, spread(self.concepts)
        return to_inputs, spread(self.data.train.x)


def measure(rival: Rival, arena: Arena) -> Values:
    """Everything that is measured of a method, by ``<measure>/<setting>``.

    Values (A,) of the anchors, or (N,) of the test examples for equation 6; NaN where undefined.

    ``local``, equation 5:

    - ``paper``: as published. SENN's relevances by gradient ascent; the others by Bayesian
      optimisation, LIME with fewer evaluations, and random samples drawn anew for every input.
    - ``fair``: all by the same Bayesian optimisation, random samples drawn once. The noise of a
      small sample is then the same at x and x', and cancels.
    - ``gradient``: those that can be differentiated, by gradient ascent.

    ``discrete``, equation 6, of tables: nothing is searched, so ``paper`` and ``fair`` differ in
    how samples are drawn. ``faithfulness``: ``fair``, where what is removed is set to its training
    median (a learned concept to its mean); ``paper``, where instead a concept's relevance is set to
    0, as published. ``length``, of the explanations at the anchors, the root of the mean square,
    over the training set's spread: (1,).
    """
    settings, is_table = arena.settings, arena.data.kind == "tables"
    groups, samples = arena.inputs.groups, settings.samples
    method = rival.method(arena.baseline, groups, samples)
    fair = _black_box(rival, method, arena, settings.evaluations)
    values = {"length/": _length(rival, method, arena), "local/fair": fair}
    if rival.differentiable:
        values["local/gradient"] = _by_gradient(rival, method, arena)
    values["local/paper"] = values["local/gradient"] if rival.name == SENN else fair
    if is_table:
        values["discrete/fair"] = values["discrete/paper"] = _discrete(rival, method, arena)
    if rival.draw is not None:
        redrawn = rival.redrawn(arena.baseline, groups, samples)
        is_lime = rival.name == "lime"
        evaluations = settings.lime_evaluations if is_lime else settings.evaluations
        values["local/paper"] = _black_box(rival, redrawn, arena, evaluations)
        if is_table:
            values["discrete/paper"] = _discrete(rival, redrawn, arena)
    model, x, target = arena.model, arena.x, arena.target
    for setting, removal in _removals(rival, arena).items():
        p = leave_one_out(removal, model, x, target)
        values[f"faithfulness/{setting}"] = faithfulness(model, method, x, target, p, removal)
    values.setdefault("faithfulness/paper", values["faithfulness/fair"])
    return {name: value.double().tolist() for name, value in values.items()}


def _length(rival: Rival, explain: Method[Senn], arena: Arena) -> Tensor:
    e = explain(arena.model, arena.x, arena.target).flatten(1).detach().double()
    mean_square = e.square().sum(1).mean()
    return square_root(mean_square).view(1) / arena.space(rival)[1]


def _black_box(rival: Rival, explain: Method[Senn], arena: Arena, evaluations: int) -> Tensor:
    model, x = arena.model, arena.x
    (encode, unit), (low, high) = arena.space(rival), arena.box.ends(x)
    least = (arena.evaluate.lipschitz_concept_resolution * unit) ** 2
    e, h = explain(model, x, arena.target).flatten(1).detach(), encode(model, x)

    def ratios(places: np.ndarray) -> np.ndarray:
        """At places (A, M, D) of the anchors' boxes, (A, M)."""
        shape = (len(x), places.shape[1], *x.shape[1:])
        inside = low.unsqueeze(1) + torch.from_numpy(places).to(x).view(shape) * (
            high - low
        ).unsqueeze(1)

        def of_batch(x: Tensor, target: Tensor, e: Tensor, h: Tensor) -> Tensor:
            there = explain(model, x, target).flatten(1), encode(model, x)
            return squared_ratio(*there, e, h, least)

        repeated = (one.repeat_interleave(shape[1], 0) for one in (arena.target, e, h))
        squared = in_batches(of_batch, inside.flatten(0, 1), *repeated)
        return np.sqrt(squared.double().view(shape[:2]).cpu().numpy())

    rounds = arena.settings.rounds
    return torch.from_numpy(maximise(ratios, len(x), x[0].numel(), evaluations, rounds))


def _by_gradient(rival: Rival, explain: Method[Senn], arena: Arena) -> Tensor:
    (encode, unit), evaluate = arena.space(rival), arena.evaluate
    resolution = evaluate.lipschitz_concept_resolution * unit
    steps, restarts = evaluate.lipschitz_local_steps, evaluate.lipschitz_local_restarts
    search = Search(arena.box, resolution, steps, restarts)
    return lipschitz_local(arena.model, explain, arena.x, arena.target, encode, search)


def _discrete(rival: Rival, explain: Method[Senn], arena: Arena) -> Tensor:
    x, (encode, _) = arena.data.test.x, arena.space(rival)
    target = predict(arena.model, x)
    return lipschitz_discrete(arena.model, explain, x, target, x, arena.near, encode)


def _removals(rival: Rival, arena: Arena) -> dict[str, Removal]:
    """By setting; of inputs one for both."""
    if not rival.of_concepts:
        return {"fair": arena.inputs}
    model, h = arena.model, arena.concepts
    fair = removal_of_concepts(model, arena.baseline, h)
    return {"fair": fair, "paper": ConceptRemoval(torch.zeros_like(h[0]))}


def _measure(
    settings: Rivals,
    evaluate: Evaluate,
    device: torch.device,
    cell: File,
    data: File,
    method: str,
) -> Values:
    """Measure one method on one model; runs in a worker."""
    return measure(RIVALS[method], _arena(cell, data, settings, evaluate, device))


@lru_cache(maxsize=1)
def _arena(
    cell: File, data: File, settings: Rivals, evaluate: Evaluate, device: torch.device
) -> Arena:
    """What all methods of a model share, made once in a worker."""
    model, _ = load_cell(cell)
    return Arena(placed(model, device), dataset_on(data, device), settings, evaluate)
