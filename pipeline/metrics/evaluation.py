"""All metrics of every cell of an experiment's grid: one flat row a cell, and one row a λ.

`Protocol` is what every cell of an experiment is measured on, the same for all: comparisons between
λ and seeds are comparisons of models.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial

import pandas as pd
import torch
from torch import Tensor

from pipeline.core.cells import Cell, grid
from pipeline.core.dataset import Dataset, Split
from pipeline.core.errors import PipelineError
from pipeline.core.files import File
from pipeline.core.params import Evaluate
from pipeline.core.run import Run
from pipeline.explanations.method import Background
from pipeline.explanations.senn import contributions, relevances
from pipeline.metrics.baselines import (
    balanced_accuracy,
    commonest_share,
    cross_entropy,
    cross_entropy_ratio,
    linear_accuracy,
    selection,
)
from pipeline.metrics.batches import BATCH_SIZE, at_once, capacity, in_batches, predict
from pipeline.metrics.certified import certified_lipschitz, jacobian_norm
from pipeline.metrics.concepts import (
    concept_correlation,
    concept_sparsity,
    constant_concepts,
    encode,
    reconstruction_mse,
)
from pipeline.metrics.faithfulness import faithfulness
from pipeline.metrics.intervals import accuracy_interval, share_interval
from pipeline.metrics.measurement import (
    EVALUATING,
    Fetched,
    Measurement,
    Subject,
    dataset_on,
    drawn,
    measure,
)
from pipeline.metrics.neighbours import neighbours, within
from pipeline.metrics.removal import leave_one_out, removal_of_concepts
from pipeline.metrics.stability import (
    Box,
    Encode,
    Search,
    lipschitz_discrete,
    lipschitz_local_of_all,
    spread,
    to_concepts,
    to_inputs,
)
from pipeline.models.conceptizers import IdentityConceptizer
from pipeline.models.layers import placed
from pipeline.models.senn import Senn
from pipeline.models.weights import load_cell
from pipeline.training.robustness import linearise, residuals

# Of anchors that are no rows of a table, one in so many is certified: all would nearly double the
# time.
_CERTIFIED = 8

Row = dict[str, float | int]


def _if_aligned(metric: Callable[[Senn, Tensor], float]) -> Callable[[Senn, Dataset], float]:
    """`metric` of a model and test inputs; NaN, undefined, of concepts that are not aligned."""

    def of_data(model: Senn, data: Dataset) -> float:
        return metric(model, data.test.x) if model.conceptizer.is_aligned else torch.nan

    return of_data


METRICS: dict[str, Callable[[Senn, Dataset], float | int]] = {
    "robustness_loss": lambda model, data: _mean(residual_norm(model, data.test.x)),
    "reconstruction_mse": _if_aligned(lambda model, x: _mean(reconstruction_mse(model, x))),
    "concept_correlation": _if_aligned(lambda model, x: concept_correlation(encode(model, x))),
    "concept_sparsity": _if_aligned(lambda model, x: concept_sparsity(encode(model, x))),
    "constant_concepts": _if_aligned(
        lambda model, x: int(constant_concepts(encode(model, x)).sum())
    ),
    "cross_entropy": lambda model, data: cross_entropy(model, data.test),
    "cross_entropy_ratio": lambda model, data: cross_entropy_ratio(model, data.test),
    "balanced_accuracy": lambda model, data: balanced_accuracy(model, data.test),
    "commonest_share": lambda model, data: commonest_share(model, data.test),
}
"""Metrics that take a model and the data and need nothing of the protocol, by column."""


@dataclass(frozen=True)
class Protocol:
    """What all cells of an experiment are measured on.

    Attributes
    ----------
    anchors : Tensor (A, *input_shape)
        Test points at which stability is measured; of texts faithfulness, too.
    neighbours : Tensor (A, N), bool
        Which test points lie within ε of each anchor.
    box : Box
        The continuous neighbourhood of an anchor.
    """

    data: Dataset
    settings: Evaluate
    anchors: Tensor
    neighbours: Tensor
    box: Box

    @classmethod
    def of(cls, data: Dataset, settings: Evaluate) -> "Protocol":
        """Choose anchors and neighbourhoods for `data`, on its device.

        Units of the neighbourhoods come from the training data: the root-mean-square distance from
        the mean, and each feature's standard deviation.
        """
        anchors = data.test.x[drawn(data.test, settings.anchors).sort().values]
        radius = settings.lipschitz_discrete_radius * spread(data.train.x)
        near = neighbours(anchors, data.test.x, within(radius))
        box = Box.around(data, settings.lipschitz_local_radius)
        return cls(data, settings, anchors, near, box)

    @cached_property
    def linear_accuracy(self) -> float:
        """What a linear classifier of the inputs gets right; fitted once for all cells."""
        return linear_accuracy(self.data)

    @property
    def few(self) -> slice:
        """The anchors at which stability relative to the input is measured."""
        return slice(None, None, 1 if self.data.kind == "tables" else _CERTIFIED)

    @property
    def models_at_once(self) -> int:
        """How many models to search at once for the ratios of eq. 5: one on a CPU.

        On a GPU as many as fill a batch, which the anchors of one do not.
        """
        of_a_model = len(self.anchors) * self.settings.lipschitz_local_restarts
        fitting = at_once(BATCH_SIZE, self.anchors) // of_a_model
        return max(1, min(fitting, capacity(self.anchors.device)))


def evaluate_grids(run: Run, entry: str) -> dict[str, dict[Cell, Row]]:
    """Evaluate all cells of the experiments that `entry` of params.yaml stands for.

    Returns
    -------
    What was measured of each cell, by experiment.

    Raises
    ------
    PipelineError
        If the data or a cell is missing or damaged.
    """
    names = run.params.names_of(entry)
    cells = [cell for name in names for cell in grid(run.params, name)]

    def line(index: int, row: Row) -> str:
        return f"{cells[index]}: test accuracy {row['accuracy']:.4f}"

    of_run = [(run, cell) for cell in cells]
    rows = evaluate(f"evaluate {entry}", run, run.params.evaluate, of_run, line)
    measured = dict(zip(cells, rows, strict=True))
    return {
        name: {cell: row for cell, row in measured.items() if cell.experiment == name}
        for name in names
    }


def evaluate(
    title: str,
    run: Run,
    settings: Evaluate,
    cells: Sequence[tuple[Run, Cell]],
    line: Callable[[int, Row], str] | None = None,
) -> list[Row]:
    """Evaluate cells, each with the run that it belongs to."""
    # What a row follows from besides cell, data and code; not from the bootstrap.
    protocol = {"evaluate": settings.model_dump(mode="json", exclude={"bootstrap"})}
    subjects = [Subject.of(its_run, cell, protocol) for its_run, cell in cells]
    work = partial(_evaluate, settings, run.device)
    together = capacity(run.device)
    measurement = Measurement(title, work, EVALUATING, subjects, list, line=line, together=together)
    return measure(run, measurement)


def cells_table(evaluations: Mapping[Cell, Row]) -> pd.DataFrame:
    """One row a cell, by λ and seed: experiment, robust_reg, seed, then the metrics."""
    rows = [
        {"experiment": cell.experiment, "robust_reg": cell.robust_reg, "seed": cell.seed}
        | evaluations[cell]
        for cell in sorted(evaluations)
    ]
    return pd.DataFrame(rows)


def lambda_table(evaluations: Mapping[Cell, Row]) -> pd.DataFrame:
    """One row a λ, ascending: experiment, robust_reg, how many seeds, then the metrics over seeds.

    Every metric, counts too, is the mean over the seeds at which it is defined, but for ``…_max``,
    the largest. `accuracy_std` is the sample standard deviation over seeds, undefined (NaN) with
    one seed; `accuracy_low` and `accuracy_high` are `accuracy_interval`, with one seed that over
    test examples.

    Parameters
    ----------
    evaluations : cells of one experiment, each λ with the same seeds.
    """
    rows = []
    for robust_reg in sorted({cell.robust_reg for cell in evaluations}):
        cells = sorted(cell for cell in evaluations if cell.robust_reg == robust_reg)
        metrics = pd.DataFrame([evaluations[cell] for cell in cells])
        over_seeds = {str(name): _over_seeds(values) for name, values in metrics.items()}
        _, over_seeds["accuracy_low"], over_seeds["accuracy_high"] = accuracy_interval(metrics)
        rows.append(
            {
                "experiment": cells[0].experiment,
                "robust_reg": robust_reg,
                "seeds": len(cells),
                "accuracy": over_seeds.pop("accuracy"),
                "accuracy_std": metrics["accuracy"].std(ddof=1),
            }
            | over_seeds
        )
    return pd.DataFrame(rows)


def evaluate_cells(models: Sequence[Senn], protocol: Protocol) -> list[Row]:
    """Every metric of each model; all are of one experiment, in evaluation mode, on one device.

    Undefined values are left out of what summarises them and counted under ``…_undefined``; where
    nothing is left the row has NaN.
    """
    size = protocol.models_at_once
    parts = [models[start : start + size] for start in range(0, len(models), size)]
    return [row for part in parts for row in _evaluate_at_once(part, protocol)]


def _evaluate_at_once(models: Sequence[Senn], protocol: Protocol) -> Iterator[Row]:
    data = protocol.data
    targets = torch.stack([predict(model, protocol.anchors) for model in models])
    train_concepts = [encode(model, data.train.x) for model in models]
    ratios = _ratios(models, protocol, targets, train_concepts)
    for model, target, concepts, *of_model in zip(
        models, targets, train_concepts, *ratios, strict=True
    ):
        accuracy = share_interval(_mean(correct(model, data.test)), len(data.test))
        are_inputs = model.conceptizer.are_inputs
        yield {
            **accuracy.columns("accuracy"),
            **_stability(model, protocol, target, *of_model),
            **_faithfulness(model, protocol, concepts),
            **{name: metric(model, data) for name, metric in METRICS.items()},
            "linear_accuracy": protocol.linear_accuracy if are_inputs else torch.nan,
        }


def _evaluate(settings: Evaluate, device: torch.device, models: Sequence[Fetched]) -> list[Row]:
    """Evaluate cells of one experiment; runs in a worker."""
    protocol = _protocol(models[0].data, settings, device)
    loaded = [load_cell(cell) for cell, _, _ in models]
    rows = evaluate_cells([placed(model, device) for model, _ in loaded], protocol)
    return [
        row | selection(metadata, protocol.data.valid)
        for row, (_, metadata) in zip(rows, loaded, strict=True)
    ]


@lru_cache(maxsize=1)
def _protocol(data: File, settings: Evaluate, device: torch.device) -> Protocol:
    """The protocol of an experiment, made once in a worker."""
    return Protocol.of(dataset_on(data, device), settings)


def correct(model: Senn, split: Split) -> Tensor:
    """Which examples of `split` the model gets right, (N,) bool; no example is dropped."""
    return predict(model, split.x) == split.y


def residual_norm(model: Senn, x: Tensor) -> Tensor:
    """‖∇ₓf(x) − θ(x)ᵀ Jʰₓ(x)‖ of each example, Frobenius over classes and features, (N,).

    The paper's equation 3, exact, on the logits: comparable between models whatever variant of the
    loss they were trained with, and independent of batch size.
    """

    def norms(x: Tensor) -> Tensor:
        exact = residuals(linearise(model, x), "paper2018")
        return torch.linalg.vector_norm(exact.flatten(2), dim=(0, 2))

    return in_batches(norms, x)


def _ratios(
    models: Sequence[Senn],
    protocol: Protocol,
    targets: Tensor,
    train_concepts: Sequence[Tensor],
) -> tuple[Tensor, Tensor]:
    """Equation 5 of each model, relative to the concepts (M, A) and to the input at `few` anchors.

    Parameters
    ----------
    targets : (M, A), the classes predicted at the anchors.
    train_concepts : of each model, the training data's concepts (N, K).
    """
    settings, train = protocol.settings, protocol.data.train.x

    def largest(of: slice, concepts: Encode[Senn], spreads: list[float]) -> Tensor:
        x, target = protocol.anchors[of], targets[:, of]
        units = torch.tensor(spreads, dtype=torch.float64, device=x.device)
        search = Search(
            protocol.box,
            settings.lipschitz_concept_resolution * units,
            settings.lipschitz_local_steps,
            settings.lipschitz_local_restarts,
        )
        width = protocol.models_at_once
        return lipschitz_local_of_all(
            models, relevances, x, target, concepts, search, exactly=True, width=width
        )

    conceptizer = models[0].conceptizer
    relative_to_concepts = torch.full_like(targets, torch.nan, dtype=train.dtype)
    if conceptizer.is_aligned:
        spreads = [spread(concepts) for concepts in train_concepts]
        relative_to_concepts = largest(slice(None), to_concepts, spreads)
    if isinstance(conceptizer, IdentityConceptizer):
        return relative_to_concepts, relative_to_concepts[:, protocol.few]  # which are the input
    spreads = [spread(train)] * len(models)
    return relative_to_concepts, largest(protocol.few, to_inputs, spreads)


def _stability(
    model: Senn, protocol: Protocol, target: Tensor, local: Tensor, local_input: Tensor
) -> Row:
    """Stability of the relevances: relative to the concepts, and to the input at some anchors.

    Parameters
    ----------
    target : (A,), the classes predicted at the anchors.
    local, local_input : what `_ratios` found of this model, (A,) and at `few` anchors.
    """
    anchors, box = protocol.anchors, protocol.box
    discrete = anchors.new_full((len(anchors),), torch.nan)
    if model.conceptizer.is_aligned:
        others = protocol.data.test.x
        discrete = lipschitz_discrete(
            model, relevances, anchors, target, others, protocol.neighbours, to_concepts
        )
    few = anchors[protocol.few], target[protocol.few]
    try:
        certified = certified_lipschitz(model, *few, box)
    except PipelineError:  # of layers that are not known there: undefined, and counted
        certified = torch.full_like(local_input, torch.nan)
    return _over_anchors(
        {
            "lipschitz_discrete": discrete,
            "lipschitz_local": local,
            "lipschitz_input_lower": local_input,
            "lipschitz_input_exact": jacobian_norm(model, relevances, *few, box),
            "lipschitz_input_certified": certified,
        }
    )


def _over_anchors(metrics: dict[str, Tensor]) -> Row:
    """Median, 95th percentile and maximum over the anchors at which each metric is defined."""
    row: Row = {}
    for name, values in metrics.items():
        quantiles = values.new_tensor((0.5, 0.95, 1.0))
        middle, high, largest = torch.nanquantile(values, quantiles).tolist()
        row |= {
            name: middle,
            f"{name}_p95": high,
            f"{name}_max": largest,
            f"{name}_undefined": _undefined(values),
        }
    return row


def _faithfulness(model: Senn, protocol: Protocol, train_concepts: Tensor) -> Row:
    """Faithfulness of SENN's own explanations, mean over the test set; of texts, over the anchors.

    Each word of a text is a concept, and costs a forward pass to remove.
    """
    data = protocol.data
    x = protocol.anchors if data.kind == "texts" else data.test.x
    target = predict(model, x)
    removal = removal_of_concepts(model, Background.of(data).baseline, train_concepts)
    p = leave_one_out(removal, model, x, target)
    row: Row = {}
    for name, explain in {"relevance": relevances, "contribution": contributions}.items():
        values = faithfulness(model, explain, x, target, p, removal)
        row[f"faithfulness_{name}"] = float(values[~values.isnan()].mean())
        row[f"faithfulness_{name}_undefined"] = _undefined(values)
    return row


def _mean(values: Tensor) -> float:
    return float(values.double().mean())


def _undefined(values: Tensor) -> int:
    return int(values.isnan().sum())


def _over_seeds(values: pd.Series) -> float:
    return values.max() if str(values.name).endswith("_max") else values.mean()
