import dataclasses
import math

import pandas as pd
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from pipeline.core.cells import Cell
from pipeline.core.dataset import Split
from pipeline.explanations.senn import contributions, relevances
from pipeline.metrics.baselines import linear_accuracy
from pipeline.metrics.batches import predict
from pipeline.metrics.certified import jacobian_norm
from pipeline.metrics.evaluation import (
    Protocol,
    cells_table,
    correct,
    evaluate_cells,
    lambda_table,
    residual_norm,
)
from pipeline.metrics.faithfulness import faithfulness
from pipeline.metrics.headline import headline
from pipeline.metrics.intervals import accuracy_interval, share_interval
from pipeline.metrics.removal import ConceptRemoval, InputRemoval, Removal, leave_one_out
from tests.metrics.data import EVALUATE, dataset
from tests.metrics.models import random_image_senn, random_table_senn, senn, two_classes
from tests.training.grids import double

COLUMNS = [
    "accuracy",
    "accuracy_low",
    "accuracy_high",
    "lipschitz_discrete",
    "lipschitz_discrete_p95",
    "lipschitz_discrete_max",
    "lipschitz_discrete_undefined",
    "lipschitz_local",
    "lipschitz_local_p95",
    "lipschitz_local_max",
    "lipschitz_local_undefined",
    *(
        f"lipschitz_input_{name}{statistic}"
        for name in ("lower", "exact", "certified")
        for statistic in ("", "_p95", "_max", "_undefined")
    ),
    "faithfulness_relevance",
    "faithfulness_relevance_undefined",
    "faithfulness_contribution",
    "faithfulness_contribution_undefined",
    "robustness_loss",
    "reconstruction_mse",
    "concept_correlation",
    "concept_sparsity",
    "constant_concepts",
    "cross_entropy",
    "cross_entropy_ratio",
    "balanced_accuracy",
    "commonest_share",
    "linear_accuracy",
]
SUMMARY = ["accuracy", "accuracy_std", *COLUMNS[1:]]


def test_anchors_are_the_same_distinct_test_points_every_time():
    data = dataset((6,), 3)
    first, second = (Protocol.of(data, EVALUATE).anchors for _ in range(2))
    assert torch.equal(first, second)
    is_test_point = (first.unsqueeze(1) == data.test.x).all(2)
    assert is_test_point.sum(1).tolist() == [1] * 30
    assert is_test_point.any(0).sum() == 30
    assert not torch.equal(first, data.test.x[:30])


def test_all_test_points_are_anchors_where_there_are_few():
    data = dataset((6,), 3)
    many = EVALUATE.model_copy(update={"anchors": 500})
    assert torch.equal(Protocol.of(data, many).anchors, data.test.x)


def test_neighbourhoods_are_in_units_of_the_training_data():
    data = dataset((2,), 2)
    train = Split(torch.tensor([[0.0, 0.5], [1.0, 0.5]]), torch.tensor([0, 1]))
    test = Split(torch.tensor([[0.2, 0.1], [0.2, 0.35], [0.2, 0.7]]), torch.tensor([0, 1, 0]))
    protocol = Protocol.of(dataclasses.replace(data, train=train, test=test), EVALUATE)
    # Distance from the mean is 0.5 for both points: ε = 0.8 · 0.5.
    near = [[False, True, False], [True, False, True], [False, True, False]]
    assert protocol.neighbours.tolist() == near
    assert protocol.box.half_width.tolist() == pytest.approx([0.05, 0])
    assert (protocol.box.low, protocol.box.high) == (0, 1)


@pytest.mark.parametrize(
    ("make", "shape", "classes"),
    [(random_table_senn, (6,), 3), (random_image_senn, (1, 28, 28), 4)],
    ids=["table", "image"],
)
def test_several_at_once_are_as_one_by_one(make, shape, classes, monkeypatch):
    data = double(dataset(shape, classes))
    protocol = Protocol.of(data, EVALUATE)
    models = [make(seed=seed).double() for seed in range(3)]
    one_by_one = evaluate_cells(models, protocol)
    monkeypatch.setattr(Protocol, "models_at_once", 2)  # and an idle one in the second part
    for row, expected in zip(evaluate_cells(models, protocol), one_by_one, strict=True):
        assert row == pytest.approx(expected, abs=1e-9, nan_ok=True)


def test_a_gpu_searches_of_several_models_at_once():
    data = dataset((6,), 3)
    protocol = Protocol.of(data, EVALUATE)
    assert protocol.models_at_once == 1
    with FakeTensorMode():
        there = torch.empty(100, 1, 28, 28, device="cuda")
    settings = EVALUATE.model_copy(update={"lipschitz_local_restarts": 3})
    on_a_gpu = dataclasses.replace(protocol, anchors=there, settings=settings)
    assert on_a_gpu.models_at_once == 5000 // (3 * 100)


@pytest.mark.parametrize(
    ("model", "shape", "classes"),
    [(random_table_senn(), (6,), 3), (random_image_senn(seed=1), (1, 28, 28), 4)],
    ids=["table", "image"],
)
def test_row(model, shape, classes):
    data = dataset(shape, classes)
    # Points drawn at random in many dimensions are all about √2 of the unit apart.
    settings = EVALUATE.model_copy(update={"lipschitz_discrete_radius": 1.5})
    protocol = Protocol.of(data, settings)
    row = evaluate_cells([model], protocol)[0]
    assert list(row) == COLUMNS
    linear = row.pop("linear_accuracy")
    assert linear == linear_accuracy(data) if shape == (6,) else math.isnan(linear)
    assert all(math.isfinite(value) for value in row.values())

    output = model(data.test.x)
    target = output.logits.argmax(1)
    accuracy = (target == data.test.y).double().mean().item()
    here = [row[name] for name in ("accuracy", "accuracy_low", "accuracy_high")]
    assert here == pytest.approx(share_interval(accuracy, len(target)))
    for name in ("discrete", "local", "input_lower", "input_exact", "input_certified"):
        lipschitz = f"lipschitz_{name}"
        assert 0 < row[lipschitz] < row[f"{lipschitz}_p95"] <= row[f"{lipschitz}_max"]
        assert row[f"{lipschitz}_undefined"] == 0
    # Tables: equation 5 itself. Images: one anchor in eight, against the input.
    assert (row["lipschitz_input_lower"] == row["lipschitz_local"]) == (shape == (6,))
    chosen = protocol.anchors[:: 1 if shape == (6,) else 8]
    exact = jacobian_norm(model, relevances, chosen, predict(model, chosen), protocol.box)
    assert row["lipschitz_input_exact"] == pytest.approx(exact.quantile(0.5).item())
    for statistic in ("", "_p95", "_max"):
        certified = row[f"lipschitz_input_certified{statistic}"]
        assert row[f"lipschitz_input_lower{statistic}"] <= certified
        assert row[f"lipschitz_input_exact{statistic}"] <= certified
    assert row["concept_sparsity"] == pytest.approx(output.concepts.abs().mean().item())
    if shape == (6,):
        assert row["reconstruction_mse"] == 0
        median = data.train.x.sort(0).values[59]  # the lower of the two in the middle
        removal: Removal = InputRemoval(median)
    else:
        removal = ConceptRemoval(model(data.train.x).concepts.mean(0))
    x, p = data.test.x, leave_one_out(removal, model, data.test.x, target)
    for name, explain in (("relevance", relevances), ("contribution", contributions)):
        expected = faithfulness(model, explain, x, target, p, removal).mean().item()
        assert row[f"faithfulness_{name}"] == pytest.approx(expected, rel=1e-3, abs=1e-5)
    again = evaluate_cells([model], protocol)[0]
    del again["linear_accuracy"]
    assert row == again


def test_statistics_over_anchors():
    # θ(x) = x²: the local ratio is x + x' and largest at the edge of the box, 2 x + r.
    data = dataset((1,), 2, examples=1000)
    settings = EVALUATE.model_copy(update={"anchors": 1000, "lipschitz_local_steps": 20})
    protocol = Protocol.of(data, settings)
    row = evaluate_cells([senn(lambda x: two_classes(x**2))], protocol)[0]
    x = data.test.x.flatten()[: len(protocol.anchors)].sort().values
    r = 0.1 * data.train.x.std().item()
    assert row["lipschitz_local"] == pytest.approx(2 * x.quantile(0.5).item() + r, abs=0.02)
    assert row["lipschitz_local_p95"] == pytest.approx(2 * x.quantile(0.95).item() + r, abs=0.02)
    assert row["lipschitz_local_max"] == pytest.approx(2, abs=0.01)
    # At an anchor the slope is 2 x.
    for q, statistic in ((0.5, ""), (0.95, "_p95"), (1, "_max")):
        slope = 2 * x.quantile(q).item()
        assert row[f"lipschitz_input_exact{statistic}"] == pytest.approx(slope, rel=1e-6)
        assert row[f"lipschitz_input_lower{statistic}"] == pytest.approx(
            min(slope + r, 2), abs=0.02
        )
    # Its layers are not known, so nothing is certified, and said to be.
    assert math.isnan(row["lipschitz_input_certified"])
    assert row["lipschitz_input_certified_undefined"] == 1000


def test_resolution_is_in_units_of_the_concepts_spread():
    # h sees only the first feature, θ only the second: the ratio is the second's half width over
    # the resolution.
    data = dataset((2,), 2)
    model = senn(lambda x: two_classes(x[:, 1:]), concepts=lambda x: 7 * x[:, :1])
    settings = EVALUATE.model_copy(update={"lipschitz_local_steps": 200})
    row = evaluate_cells([model], Protocol.of(data, settings))[0]
    first, second = data.train.x.std(0, unbiased=False).tolist()
    expected = 0.1 * second / (0.01 * 7 * first)
    assert row["lipschitz_local"] == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("shape", [(6,), (1, 28, 28)])
@pytest.mark.parametrize("scale", [1e-4, 1e-5, 3e-6, 1e-6])
def test_nothing_found_exceeds_what_is_certified_of_nearly_constant_relevances(shape, scale):
    # In float32 the relevances, about 1, change in steps of 1e-7 and as much by rounding.
    model = random_table_senn() if shape == (6,) else random_image_senn(classes=3)
    *_, last = (layer for layer in model.parameterizer.modules() if hasattr(layer, "bias"))
    with torch.no_grad():
        last.weight *= scale
        last.bias += 1
    row = evaluate_cells([model], Protocol.of(dataset(shape, 3), EVALUATE))[0]
    for statistic in ("", "_p95", "_max"):
        lower, exact, certified = (
            row[f"lipschitz_input_{name}{statistic}"] for name in ("lower", "exact", "certified")
        )
        assert 0 < lower <= certified
        assert exact <= certified


def test_undefined_is_counted_and_left_out():
    # One feature, so no correlation over features is defined, and none between concepts.
    data = dataset((1,), 2)
    lonely = Split(torch.cat([data.test.x[:20], torch.tensor([[50.0]])]), data.test.y[:21])
    protocol = Protocol.of(
        dataclasses.replace(data, test=lonely, high=50.0),
        EVALUATE.model_copy(update={"lipschitz_discrete_radius": 2.0}),
    )
    row = evaluate_cells([senn(lambda x: two_classes(2 * x))], protocol)[0]
    assert row["lipschitz_discrete_undefined"] == 1
    assert row["lipschitz_discrete_max"] == pytest.approx(2, rel=1e-4)
    assert row["faithfulness_relevance_undefined"] == 21
    assert math.isnan(row["faithfulness_relevance"])
    assert math.isnan(row["concept_correlation"])


def test_dead_concepts_leave_stability_undefined():
    data = dataset((2,), 2)
    dead = senn(two_classes, concepts=lambda x: 0 * x + torch.tensor([0.1, 0.3]))
    row = evaluate_cells([dead], Protocol.of(data, EVALUATE))[0]
    assert row["constant_concepts"] == 2
    for name in ("lipschitz_discrete", "lipschitz_local"):
        assert row[f"{name}_undefined"] == 30
        assert math.isnan(row[name])


# --- accuracy ------------------------------------------------------------------------------------


def test_every_example_counts():
    # Predicts class 0 where the feature is positive; 257 is no multiple of any batch size.
    model = senn(lambda x: two_classes(torch.ones_like(x)))
    x = torch.ones(257, 1)
    x[::3] = -1
    y = torch.zeros(257, dtype=torch.int64)
    assert correct(model, Split(x, y)).sum() == 171
    y[-1] = 1  # the last example, in an incomplete batch
    assert correct(model, Split(x, y)).sum() == 170


def test_prediction_is_the_largest_logit():
    model, x = random_table_senn(), torch.rand(230, 6)
    assert torch.equal(predict(model, x), model(x).logits.argmax(1))


# --- test robustness loss ------------------------------------------------------------------------


def test_linear_relevances_in_closed_form():
    # θ_kc(x) = Σ_d A_kcd x_d and h = x, so the residual of class c is Σ_k x_k A_kc.
    torch.manual_seed(0)
    a = torch.randn(4, 3, 4)
    model = senn(lambda x: torch.einsum("kcd,bd->bkc", a, x))
    x = torch.randn(130, 4)
    expected = torch.einsum("bk,kcd->bcd", x, a).flatten(1).norm(dim=1)
    torch.testing.assert_close(residual_norm(model, x), expected)


def test_constant_relevances_have_none():
    weights = torch.randn(4, 3)
    model = senn(lambda x: weights.expand(len(x), 4, 3) + 0 * x.sum())
    assert residual_norm(model, torch.randn(5, 4)).tolist() == [0] * 5


def test_images_against_finite_differences():
    # Along a direction v, with h held: (Σ_k h_k θ_kc(x + tv))' = ⟨r_c, v⟩, and ‖r_c‖ ≥ that.
    model = random_image_senn().double()
    x, step = torch.randn(2, 1, 28, 28, dtype=torch.float64), 1e-6
    norm = residual_norm(model, x)
    h = model(x).concepts
    squares = torch.zeros(2, dtype=torch.float64)
    for pixel in range(784):
        moved = x.flatten(1).clone()
        moved[:, pixel] += step
        back = x.flatten(1).clone()
        back[:, pixel] -= step
        change = model.parameterizer(moved.view_as(x)) - model.parameterizer(back.view_as(x))
        squares += torch.einsum("bk,bkc->bc", h, change / (2 * step)).square().sum(1).detach()
    assert norm.tolist() == pytest.approx(squares.sqrt().tolist(), rel=1e-4)


# --- tables of a grid ---------------------------------------------------------------------------


def evaluation(accuracy, **metrics):
    here = dict(zip(COLUMNS[:3], share_interval(accuracy, 200), strict=True))
    return dict.fromkeys(COLUMNS, 0.5) | here | metrics


@pytest.fixture
def evaluations():
    """Two λ of two seeds, in no particular order."""
    chosen = {"lipschitz_local": 0.6, "faithfulness_relevance": 0.7, "robustness_loss": 0.8}
    return {
        Cell("x", 0.1, 7): evaluation(0.6, faithfulness_relevance=math.nan),
        Cell("x", 1e-4, 9): evaluation(
            0.9,
            lipschitz_local_max=3.0,
            lipschitz_local_undefined=4,
            concept_sparsity=0.2,
            **chosen,
        ),
        Cell("x", 1e-4, 7): evaluation(
            0.8,
            lipschitz_local_max=5.0,
            lipschitz_local_undefined=1,
            concept_sparsity=math.nan,
            **chosen,
        ),
        Cell("x", 0.1, 9): evaluation(0.5, faithfulness_relevance=math.nan),
    }


def test_a_row_a_cell_by_lambda_and_seed(evaluations):
    table = cells_table(evaluations)
    assert list(table) == ["experiment", "robust_reg", "seed", *COLUMNS]
    assert table["robust_reg"].tolist() == [1e-4, 1e-4, 0.1, 0.1]
    assert table["seed"].tolist() == [7, 9, 7, 9]
    assert table["accuracy"].tolist() == [0.8, 0.9, 0.6, 0.5]


def test_a_row_a_lambda_over_seeds(evaluations):
    table = lambda_table(evaluations)
    assert list(table) == ["experiment", "robust_reg", "seeds", *SUMMARY]
    assert table["robust_reg"].tolist() == [1e-4, 0.1]
    low, _ = table.to_dict("records")
    assert low["seeds"] == 2
    assert low["accuracy"] == pytest.approx(0.85)
    assert low["accuracy_std"] == pytest.approx(0.1 / math.sqrt(2))
    assert low["lipschitz_local_max"] == 5
    assert low["lipschitz_local_undefined"] == 2.5
    assert low["concept_sparsity"] == 0.2  # of the seed at which it is defined
    expected = accuracy_interval(cells_table(evaluations).iloc[:2])
    assert (low["accuracy_low"], low["accuracy_high"]) == expected[1:]


def test_order_of_evaluation_does_not_matter(evaluations):
    reversed_ = dict(reversed(evaluations.items()))
    pd.testing.assert_frame_equal(cells_table(evaluations), cells_table(reversed_))
    pd.testing.assert_frame_equal(lambda_table(evaluations), lambda_table(reversed_))


def test_headline(evaluations):
    table = lambda_table(evaluations)
    interval = accuracy_interval(cells_table(evaluations).iloc[:2])
    assert headline(table, 1e-4) == pytest.approx(
        {
            "accuracy": 0.85,
            "ci95": (interval.high - interval.low) / 2,
            "lipschitz_local": 0.6,
            "faithfulness": 0.7,
            "robustness_loss": 0.8,
        }
    )
    assert headline(table, 0.1)["accuracy"] == pytest.approx(0.55)


def test_undefined_is_null_never_nan(evaluations):
    metrics = headline(lambda_table(evaluations), 0.1)
    assert metrics["faithfulness"] is None
    assert None not in [value for name, value in metrics.items() if name != "faithfulness"]
