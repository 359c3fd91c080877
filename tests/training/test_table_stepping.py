"""The compiled kernel against autograd, step by step, in float64."""

import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from pipeline.core.cells import Cell
from pipeline.core.dataset import Dataset, Split
from pipeline.core.params import Experiment, Params
from pipeline.core.params_choices import VARIANTS
from pipeline.models.building import Inputs, build_senn
from pipeline.models.stacking import stacked_weights
from pipeline.training import table_kernel as kernel
from pipeline.training.batches import draw_batches
from pipeline.training.objectives import Losses, Objective
from pipeline.training.stepping import CellStepping
from pipeline.training.table_stepping import TableStepping, fits
from tests.training.grids import CPU, settings

NAME = "compas_senn"
pytestmark = pytest.mark.usefixtures("in_double_precision")
CELLS = [Cell(NAME, robust_reg, seed) for robust_reg in (0.0, 0.1, 3.0) for seed in (1, 2)]


def table(classes: int) -> Dataset:
    """Random features and classes, 6 batches of 7 and 2 examples that no batch takes."""
    draw = torch.Generator().manual_seed(0)

    def split(examples: int) -> Split:
        x = torch.rand(examples, 11, generator=draw)
        return Split(x, torch.randint(classes, (examples,), generator=draw))

    splits = {name: split(examples) for name, examples in (("train", 44), ("valid", 23))}
    names = tuple(map(str, range(classes)))
    return Dataset(
        "compas",
        **splits,
        test=split(1),
        feature_names=(),
        class_names=names,
        mean=0.0,
        std=1.0,
        low=torch.tensor(0.0),
        high=torch.tensor(1.0),
        digest="none",
    )


def changed(robustness: dict, **experiment) -> Params:
    params = settings({f"robustness.{key}": value for key, value in robustness.items()})
    sizes = {"batch_size": 7, "lr": 0.05, "concept_reg": 0.3, "sparsity_reg": 0.01, **experiment}
    # Validated for itself: the table here has what numbers of classes it likes.
    ours = Experiment.model_validate(params.experiment(NAME).model_dump() | sizes)
    return params.model_copy(update={"experiments": {**params.experiments, NAME: ours}})


def both(params: Params, data: Dataset) -> list[tuple[torch.Tensor, ...]]:
    """By autograd, by the kernel: losses, weights and validations after 2 epochs."""
    experiment = params.experiment(NAME)
    if not fits(experiment, params.robustness, CPU):
        pytest.skip("the kernel does not know this variant, and is not chosen")
    objective = Objective(experiment, params.robustness, params.vae)
    inputs = Inputs((11,), 0.0, 1.0)
    results = []
    for method in (CellStepping, TableStepping):
        models = [build_senn(NAME, experiment, None, inputs, cell.seed) for cell in CELLS]
        weights = stacked_weights(models, CPU)
        stepping = method(models[0], weights, objective, CELLS, data)
        losses, done = [], 0
        for epoch in (1, 2):
            drawn = {s: draw_batches(models[0], objective, s, epoch, data.train) for s in (1, 2)}
            for first, end in ((0, 4), (4, 6)):
                losses.append(stepping.advance(drawn, first, end, done))
                done += end - first
        results.append((torch.cat(losses), weights, *stepping.validate()))
    return results


@pytest.mark.parametrize("reduction", ["batch", "example"])
@pytest.mark.parametrize("probes", ["exact", 1, 3])
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(
    ("classes", "hidden", "dropout"),
    [(2, (5, 5), 0.0), (3, (9, 4, 6), 0.4), (2, (), 0.0), (2, (), 0.5), (10, (10, 5, 5), 0.0)],
)
def test_the_kernel_does_what_autograd_does(classes, hidden, dropout, variant, probes, reduction):
    params = changed(
        {"variant": variant, "probes": probes, "reduction": reduction},
        num_classes=classes,
        dropout=dropout,
        parameterizer={"name": "mlp", "hidden_sizes": hidden},
    )
    (*expected, accuracy, cross_entropy), (*ours, our_accuracy, our_cross_entropy) = both(
        params, table(classes)
    )
    assert ours[0].shape == (12, len(Losses._fields), len(CELLS))
    assert_close(ours, expected, rtol=1e-8, atol=1e-10)
    assert_close(our_cross_entropy, cross_entropy)
    assert torch.equal(our_accuracy, accuracy)


def test_a_residual_that_vanishes_has_no_gradient():
    # Without hidden layers and weights θ is constant: the paper's residual is zero everywhere.
    params = changed(
        {"variant": "paper2018", "probes": "exact", "reduction": "example"},
        parameterizer={"name": "mlp", "hidden_sizes": ()},
    )
    experiment, data = params.experiment(NAME), table(2)
    objective = Objective(experiment, params.robustness, params.vae)
    for method in (CellStepping, TableStepping):
        model = build_senn(NAME, experiment, None, Inputs((11,), 0.0, 1.0), 1)
        with torch.no_grad():
            model.parameterizer.layers[0].weight.zero_()
        weights = stacked_weights([model], CPU)
        stepping = method(model, weights, objective, CELLS[-1:], data)
        batches = draw_batches(model, objective, CELLS[-1].seed, 1, data.train)
        losses = stepping.advance({CELLS[-1].seed: batches}, 0, 1, 0)
        assert losses[0, Losses._fields.index("robustness")] == 0
        assert weights.isfinite().all()


def test_other_models_are_autograds():
    params = changed({})
    assert not fits(params.experiment("mnist_senn"), params.robustness, CPU)
    assert not fits(params.experiment(NAME), params.robustness, torch.device("cuda"))


def test_elementary_functions_are_the_c_librarys_to_units_in_the_last_place():
    draw = np.random.default_rng(0)
    for x in (*-draw.exponential(30, 2000), 0.0, -1e-300, -708.0, math.log(0.5)):
        assert kernel.exp(x) == pytest.approx(math.exp(max(x, -708.0)), rel=2.3e-16, abs=0)
    for x in (*np.exp(draw.uniform(0, 300, 2000)), *(1 + draw.random(2000)), math.nextafter(1, 2)):
        assert kernel.log(x) == pytest.approx(math.log(x), rel=4.5e-16, abs=0)
    assert kernel.log(1.0) == 0.0 and kernel.exp(0.0) == 1.0
    for exponent in (0, 1, 2, 3, 100, 1899):
        assert kernel.power(0.999, exponent) == pytest.approx(0.999**exponent, rel=1e-13)
