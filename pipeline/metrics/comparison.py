"""Every score of every explanation method, on the headline models.

`Examination` is what all methods of a model are measured on, the same for all: comparisons between
methods are comparisons of methods.

Methods differ in scale (a squared gradient is small) and in what they speak of (pixels or
concepts), and no stability may follow from that alone. So explanations are scaled to length 1 for
the Lipschitz ratios, and distances between inputs, or between concepts, are in units of the
training set's spread. Both ratios are largest values over a finite sample, for every method: not
all methods can be differentiated, so none is searched by gradient ascent here (the table of λ has
that, for SENN's own relevances).

Of texts, every method is scored on what it says of their words: attributions of an embedding's
numbers are summed.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache, partial

import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.core.cells import Cell
from pipeline.core.dataset import PATCH, Dataset, present
from pipeline.core.files import File
from pipeline.core.params import Evaluate, Explain
from pipeline.core.run import Run
from pipeline.explanations.method import Background, ExplanationMethod, Method, ModelT
from pipeline.explanations.methods import METHODS, methods_on
from pipeline.metrics.batches import in_batches, predict
from pipeline.metrics.concepts import encode
from pipeline.metrics.faithfulness import area, faithfulness, removal_curves, removal_shares
from pipeline.metrics.informativeness import (
    effective_features,
    explanatory_power,
    relevance_weighted,
)
from pipeline.metrics.measurement import (
    EXPLAINING,
    Measurement,
    Subject,
    by_experiment,
    dataset_on,
    drawn,
    each,
)
from pipeline.metrics.neighbours import nearest, neighbours
from pipeline.metrics.randomisation import cascade, similarities
from pipeline.metrics.removal import (
    InputRemoval,
    Removal,
    leave_one_out,
    removal_of_concepts,
)
from pipeline.metrics.scores import MethodScores
from pipeline.metrics.stability import (
    Box,
    Encode,
    Search,
    lipschitz_discrete,
    lipschitz_local,
    noise_distances,
    spread,
    to_concepts,
)
from pipeline.metrics.word_power import per_word
from pipeline.models.layers import placed
from pipeline.models.senn import Senn
from pipeline.models.weights import load_cell

_NOISE_SEED = 1


Compared = dict[str, dict[str, list[MethodScores]]]
"""By experiment, per method, its scores on each model."""


@dataclass(frozen=True)
class Space:
    """What attributions speak of, inputs or concepts.

    Attributes
    ----------
    removal : Removal
    p : Tensor (N, 1 + G)
        Of the predicted class: whole, and without each group.
    encode : callable
        Model and inputs to points of the space, in units of the training set's spread.
    """

    removal: Removal
    p: Tensor
    encode: Encode[Senn]


class Examination:
    """What all methods are measured on that explain `model`.

    Attributes
    ----------
    x, y, target : Tensor
        The examples (N, *input_shape), drawn at random from the test set once for all models; their
        classes, and those that the model predicts.
    noise : Tensor
        As x: Gaussian, of each feature's standard deviation in the training set.
    neighbours : Tensor (N, test), bool
        The test points nearest to each example.
    search : Search
        Of the continuous neighbourhood of an example.
    background : Background
        What methods may know of the data.
    """

    def __init__(self, model: Senn, data: Dataset, settings: Explain, evaluate: Evaluate) -> None:
        self.model, self.data, self.settings = model, data, settings
        chosen = drawn(data.test, settings.examples)
        self.x, self.y = data.test.x[chosen], data.test.y[chosen]
        self.target = predict(model, self.x)
        generator = torch.Generator().manual_seed(_NOISE_SEED)
        noise = torch.randn(self.x.shape, generator=generator).to(self.x) * data.deviation()
        self.noise = noise * present(self.x)
        near = nearest(settings.lipschitz_neighbours)
        self.neighbours = neighbours(self.x, data.test.x, near)
        # Random points alone: not every method can be differentiated.
        self.search = Search(
            Box.around(data, evaluate.lipschitz_local_radius),
            evaluate.lipschitz_concept_resolution,
            steps=0,
            restarts=settings.lipschitz_points,
        )
        self.background = Background.of(data)

    @cached_property
    def inputs(self) -> Space:
        """The inputs: images in the patches of perturbation methods, tables by feature, words."""
        removal = InputRemoval(self.background.baseline, PATCH)
        unit = spread(self.data.train.x)
        return self._space(removal, lambda _, x: x / unit)

    @cached_property
    def concepts(self) -> Space:
        """The concepts; of a text they are its words, the inputs."""
        if not self.model.conceptizer.is_aligned:
            return self.inputs
        h = encode(self.model, self.data.train.x)
        removal = removal_of_concepts(self.model, self.background.baseline, h)
        unit = spread(h)
        return self._space(removal, lambda model, x: to_concepts(model, x) / unit)

    @cached_property
    def randomised(self) -> list[Senn]:
        """The model with its parameters shuffled, layer by layer from the output back."""
        return cascade(self.model)

    def _space(self, removal: Removal, encode: Encode[Senn]) -> Space:
        return Space(removal, leave_one_out(removal, self.model, self.x, self.target), encode)


def score(method: ExplanationMethod, examination: Examination) -> MethodScores:
    """Every score of `method`; of a costly one on the first `costly_examples` only."""
    settings, model = examination.settings, examination.model
    count = settings.costly_examples if method.is_costly else settings.examples
    x, y, target = examination.x[:count], examination.y[:count], examination.target[:count]
    space = examination.concepts if method.speaks_of == "concepts" else examination.inputs
    is_text = examination.data.kind == "texts"
    explain = method.build(examination.background)
    explain = remembering(_of_words(explain) if is_text else explain)

    deletion, insertion = removal_curves(
        model, explain, x, target, space.removal, settings.curve_steps
    )
    shares = removal_shares(space.removal.groups, settings.curve_steps)
    levels = torch.tensor((0.0, *settings.noise_levels), dtype=torch.float64)
    distances = noise_distances(
        model, explain, x, target, examination.noise[:count], settings.noise_levels
    )
    similar = similarities(model, explain, x, target, examination.randomised)
    curves = {
        "deletion": (shares, deletion),
        "insertion": (shares, insertion),
        "noise": (levels, F.pad(distances, (1, 0))),
        "randomisation": (torch.arange(1.0, similar.shape[1] + 1), similar),
    }
    features = in_batches(partial(space.encode, model), x)
    vectors = relevance_weighted(model, explain, x, target, features)
    between_examples = x.new_full((len(x),), torch.nan)
    if model.conceptizer.is_aligned:
        between_examples = lipschitz_discrete(
            model,
            _unit_length(explain),
            x,
            target,
            examination.data.test.x,
            examination.neighbours[:count],
            space.encode,
        )
    values = {
        "faithfulness": faithfulness(model, explain, x, target, space.p[:count], space.removal),
        "deletion": area(*curves["deletion"]),
        "insertion": area(*curves["insertion"]),
        "lipschitz_discrete": between_examples,
        "lipschitz_local": lipschitz_local(
            model, _unit_length(explain), x, target, space.encode, examination.search
        ),
        "noise": area(*curves["noise"]),
        "complexity": effective_features(model, explain, x, target),
        "randomisation": similar.nanmean(1),
        "explanatory_power": explanatory_power(vectors, y, settings.power_neighbours),
    }
    return MethodScores(
        {name: value.double().tolist() for name, value in values.items()},
        {name: curve.double().tolist() for name, (_, curve) in curves.items()},
        {name: positions.tolist() for name, (positions, _) in curves.items()},
    )


def remembering(explain: Method[ModelT]) -> Method[ModelT]:
    """`explain`, computed once for each model, class and input, whatever batch it comes in.

    Every metric asks for explanations of the same examples, some repeatedly.
    Answers are detached: not for metrics that differentiate an explanation. They are kept as long
    as the method is, and so are the models.
    """
    known: dict[tuple[int, int, bytes], Tensor] = {}
    models: dict[int, ModelT] = {}  # kept, so that no other gets a model's id

    def remembered(model: ModelT, x: Tensor, target: Tensor) -> Tensor:
        models[id(model)] = model
        rows = x.detach().cpu().numpy()
        keys = [
            (id(model), label, row.tobytes())
            for label, row in zip(target.tolist(), rows, strict=True)
        ]
        # One example of each key that is not known yet.
        missing = {key: index for index, key in enumerate(keys) if key not in known}
        if missing:
            chosen = torch.tensor(list(missing.values()), device=x.device)
            answers = explain(model, x[chosen], target[chosen]).detach()
            known.update(zip(missing, answers, strict=True))
        return torch.stack([known[key] for key in keys])

    return remembered


def comparison(run: Run) -> Measurement[Compared]:
    """The measurement of every method's scores, on the headline models of the first seeds.

    It gathers, by experiment, per method that applies to its data, in the order of `METHODS`, its
    scores on the model of each of the first ``explain.seeds`` seeds.
    """
    params, settings = run.params, run.params.explain
    names = [name for entry in settings.experiments for name in params.names_of(entry)]
    cells = [
        Cell(name, params.robust_reg, seed)
        for name in names
        for seed in params.seeds_of(name)[: settings.seeds]
    ]
    datasets = {name: params.experiment(name).dataset for name in names}
    kinds = {name: params.facts_of(one).kind for name, one in datasets.items()}
    methods = {name: methods_on(kind) for name, kind in kinds.items()}
    # Cell by cell, for what methods share. The long tasks of a cell first; tables, whose tasks are
    # short, last, so that all processes end together.
    pairs = [
        (cell, method.name)
        for cell in sorted(cells, key=lambda cell: kinds[cell.experiment] == "tables")
        for method in sorted(methods[cell.experiment].values(), key=lambda one: not one.is_costly)
    ]

    def line(index: int, scores: MethodScores) -> str:
        cell, method = pairs[index]
        return f"{cell}: {method}, {len(scores.values['faithfulness'])} examples"

    protocol = {
        "explain": settings.model_dump(mode="json", exclude={"experiments", "seeds"}),
        "evaluate": params.evaluate.model_dump(
            mode="json", include={"lipschitz_concept_resolution", "lipschitz_local_radius"}
        ),
    }
    subjects = [Subject.of(run, cell, {"method": name, **protocol}, name) for cell, name in pairs]

    gather = partial(by_experiment, pairs, methods)
    work = each(partial(_score, settings, params.evaluate, run.device))
    load = MethodScores._make
    return Measurement("methods", work, EXPLAINING, subjects, gather, load=load, line=line)


def _score(
    settings: Explain,
    evaluate: Evaluate,
    device: torch.device,
    cell: File,
    data: File,
    method: str,
) -> MethodScores:
    """Score one method on one model; runs in a worker."""
    examination = _examination(cell, data, settings, evaluate, device)
    return score(METHODS[method], examination)


@lru_cache(maxsize=1)
def _examination(
    cell: File, data: File, settings: Explain, evaluate: Evaluate, device: torch.device
) -> Examination:
    """What all methods of a model share, made once in a worker."""
    model, _ = load_cell(cell)
    return Examination(placed(model, device), dataset_on(data, device), settings, evaluate)


def _of_words(explain: Method[Senn]) -> Method[Senn]:
    """`explain`, of words (B, T)."""
    return lambda model, x, target: per_word(explain(model, x, target))


def _unit_length(explain: Method[Senn]) -> Method[Senn]:
    """`explain`, scaled to length 1; 0 stays 0."""

    def scaled(model: Senn, x: Tensor, target: Tensor) -> Tensor:
        return F.normalize(explain(model, x, target).flatten(1), eps=torch.finfo(x.dtype).tiny)

    return scaled
