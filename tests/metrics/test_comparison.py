import math

import numpy as np
import pytest
import torch

from pipeline.explanations.method import ExplanationMethod
from pipeline.explanations.methods import METHODS
from pipeline.explanations.senn import contributions, pulled_back
from pipeline.metrics.comparison import Examination, score
from pipeline.metrics.faithfulness import faithfulness
from pipeline.metrics.intervals import estimate
from pipeline.metrics.removal import ConceptRemoval, InputRemoval, leave_one_out
from pipeline.metrics.scores import CURVES, SCORES, MethodScores, curves_table, scores_table
from tests.metrics.data import EVALUATE, EXPLAIN, dataset
from tests.metrics.models import random_image_senn, random_table_senn


@pytest.fixture(scope="module", params=["table", "images"])
def examination(request):
    is_table = request.param == "table"
    model = random_table_senn() if is_table else random_image_senn(classes=3)
    data = dataset((6,) if is_table else (1, 28, 28), classes=3, examples=40)
    return Examination(model.requires_grad_(False), data, EXPLAIN, EVALUATE)


def entry(method, speaks_of="inputs", is_costly=False):
    return ExplanationMethod("m", "M", "gradient", speaks_of, lambda _: method, is_costly=is_costly)


def test_faithfulness_is_measured_on_what_a_method_speaks_of(examination):
    model, data, x = examination.model, examination.data, examination.x
    target = model(x).logits.argmax(1)
    median = data.train.x.median(0).values
    spaces = {"inputs": InputRemoval(median, patch=4), "concepts": InputRemoval(median)}
    if x.ndim == 4:
        spaces["concepts"] = ConceptRemoval(model(data.train.x).concepts.mean(0))
    for name in ("contribution", "pull_back"):
        method = METHODS[name]
        explain = method.build(examination.background)
        removal = spaces[method.speaks_of]
        p = leave_one_out(removal, model, x, target)
        expected = faithfulness(model, explain, x, target, p, removal)
        values = score(method, examination).values["faithfulness"]
        np.testing.assert_allclose(values, expected, atol=1e-3)


def test_no_score_but_the_index_depends_on_the_scale_of_a_method(examination):
    def scaled(model, x, target):
        return 1000 * pulled_back(model, x, target, torch.zeros_like(x[0]))

    plain = entry(lambda *a: pulled_back(*a, torch.zeros_like(examination.x[0])))
    one, other = score(plain, examination), score(entry(scaled), examination)
    assert list(one.values) == list(SCORES) and list(one.curves) == list(CURVES)
    for name in SCORES:
        np.testing.assert_allclose(one.values[name], other.values[name], rtol=1e-3, atol=1e-4)
    for name, curve in one.curves.items():
        assert np.shape(curve) == (12, len(one.positions[name]))


def test_costly_methods_get_the_first_few_examples(examination):
    whole = score(entry(contributions, "concepts"), examination)
    few = score(entry(contributions, "concepts", is_costly=True), examination)
    # Points of the box are drawn for all examples together, and the index compares examples.
    for name in set(SCORES) - {"explanatory_power", "lipschitz_local"}:
        np.testing.assert_allclose(few.values[name], whole.values[name][:5], rtol=1e-3, atol=1e-5)


def test_stability_of_what_never_changes_and_of_the_input_itself(examination):
    constant = score(entry(lambda model, x, target: torch.ones_like(x)), examination).values
    for name in ("lipschitz_discrete", "lipschitz_local", "noise"):
        assert not np.any(constant[name])
    assert np.isnan(constant["faithfulness"]).all()
    features = math.prod(examination.x.shape[1:])
    np.testing.assert_allclose(constant["complexity"], features)
    assert np.isnan(constant["randomisation"]).all()
    itself = score(entry(lambda model, x, target: x), examination).values
    np.testing.assert_allclose(itself["randomisation"], 1)
    # The largest of ‖x/‖x‖ − x'/‖x'‖‖ · spread / ‖x − x'‖, over the two nearest test points.
    data, x = examination.data, examination.x.flatten(1).double()
    test, train = data.test.x.flatten(1).double(), data.train.x.flatten(1).double()
    spread = (train - train.mean(0)).square().sum(1).mean().sqrt()
    for i in range(3):
        distances = (test - x[i]).norm(dim=1)
        near = distances.argsort()[1:3]  # the example itself is the nearest
        unit = lambda v: v / v.norm(dim=-1, keepdim=True)  # noqa: E731
        ratios = (unit(test[near]) - unit(x[i])).norm(dim=1) * spread / distances[near]
        assert itself["lipschitz_discrete"][i] == pytest.approx(ratios.max().item(), rel=1e-3)


def made_up(shift):
    random = np.random.default_rng(shift)
    values = {name: random.random(30) + shift for name in SCORES}
    values["noise"][:4] = np.nan
    values["explanatory_power"] = (random.random(30) < 0.7).astype(float)
    curves = {name: random.random((30, 3)) for name in CURVES}
    curves["randomisation"][:, 2] = np.nan
    return MethodScores(values, curves, dict.fromkeys(CURVES, np.array([0.0, 0.5, 1.0])))


@pytest.fixture
def by_method():
    names = ("contribution", "pull_back", "lime")
    return {name: [made_up(3 * i), made_up(3 * i + 1)] for i, name in enumerate(names)}


def test_scores_are_estimates_over_seeds_and_examples(by_method):
    table = scores_table(by_method, 300)
    assert table["method"].tolist() == list(by_method)
    assert table["label"].tolist() == [METHODS[name].label for name in by_method]
    assert table[["seeds", "examples"]].to_numpy().tolist() == [[2, 30]] * 3
    for row in table.to_dict("records"):
        of_seeds = by_method[row["method"]]
        for one in SCORES.values():
            values = np.stack([scores.values[one.name] for scores in of_seeds])
            statistic = np.nanmedian if one.statistic == "median" else np.nanmean
            assert row[one.name] == pytest.approx(statistic(values, axis=1).mean())
            here, _ = estimate(values, one.statistic, 300)
            assert (row[f"{one.name}_low"], row[f"{one.name}_high"]) == here[1:]
            assert row[f"{one.name}_undefined"] == (8 if one.name == "noise" else 0)


def test_curves_are_points_without_those_undefined(by_method):
    table = curves_table(by_method)
    assert len(table) == 3 * (3 + 3 + 3 + 2)
    point = table[(table["method"] == "lime") & (table["curve"] == "noise")].iloc[1]
    expected = np.mean([np.median(scores.curves["noise"][:, 1]) for scores in by_method["lime"]])
    assert (point["position"], point["value"]) == (0.5, pytest.approx(expected))
    assert not table["value"].isna().any()
