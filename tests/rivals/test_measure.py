from dataclasses import replace

import numpy as np
import pytest
import torch

from pipeline.explanations.senn import relevances
from pipeline.metrics.faithfulness import correlation
from pipeline.metrics.stability import spread
from pipeline.rivals import measure as library
from pipeline.rivals.measure import Arena, measure
from pipeline.rivals.methods import CONTRIBUTION, RIVALS, SENN, rivals_for
from tests.metrics.models import random_table_senn, senn, two_classes


def subject(model, data, settings, **changes):
    rivals, evaluate = settings
    return Arena(model, data, rivals.model_copy(update=changes), evaluate)


def measured(name, arena):
    return {key: np.array(values) for key, values in measure(RIVALS[name], arena).items()}


def test_anchors_are_test_examples_then_others_without_repetition(table, settings):
    x = subject(random_table_senn(), table, settings, anchors=40).x
    for rows, source in ((x[:12], table.test.x), (x[12:27], table.valid.x)):
        assert {tuple(row) for row in rows.tolist()} == {tuple(row) for row in source.tolist()}
    train = {tuple(row) for row in table.train.x.tolist()}
    assert {tuple(row) for row in x[27:].tolist()} < train
    assert len({tuple(row) for row in x.tolist()}) == 40


@pytest.mark.parametrize("seed", range(6))
def test_gradient_ascent_never_finds_less_than_the_black_box(seed, table, settings):
    rivals, evaluate = settings
    evaluate = evaluate.model_copy(
        update={"lipschitz_local_steps": 40, "lipschitz_local_restarts": 3}
    )
    search = {"anchors": 20, "evaluations": 200, "rounds": 5}
    one = subject(random_table_senn(seed=seed), table, (rivals, evaluate), **search)
    for name in (SENN, CONTRIBUTION):
        values = measured(name, one)
        ratio = values["local/gradient"] / values["local/fair"]
        # Either may end on a hill that is not quite the highest: never far below, mostly above.
        assert ratio.min() > 0.97
        assert np.median(ratio) >= 1
        assert values["local/fair"].min() > 0


def test_equation_5_of_a_square(table, settings):
    # θ(x) = x² and h(x) = x, of one feature: the ratio of x and x' is |x + x'|, at most 2x + ε.
    model = senn(lambda x: two_classes(x.square() * torch.eye(6)[0]))
    one = subject(model, table, settings, anchors=12, evaluations=200, rounds=10)
    _, high = one.box.ends(one.x)
    # Only the first feature counts, and the others only lengthen the way.
    largest = (one.x + high)[:, 0].numpy()
    found = measured(SENN, one)["local/fair"]
    assert (found <= largest + 1e-5).all()
    assert (found > 0.75 * largest).all()


@pytest.mark.parametrize("name", rivals_for(False))
def test_settings_differ_only_in_what_they_say(name, table, settings):
    one = subject(random_table_senn(), table, settings, anchors=10)
    values, rival = measured(name, one), RIVALS[name]
    for quantity in ("local", "discrete"):
        paper, fair = (values[f"{quantity}/{setting}"] for setting in ("paper", "fair"))
        same = np.array_equal(paper, fair, equal_nan=True)
        assert same == (rival.draw is None and not (name == SENN and quantity == "local"))
    if name == SENN:
        assert values["local/paper"] is not values["local/fair"]
        np.testing.assert_array_equal(values["local/paper"], values["local/gradient"])
    assert ("local/gradient" in values) == rival.differentiable
    # New samples for every input are noise on top.
    if rival.draw is not None:
        assert np.nanmean(values["discrete/paper"]) > np.nanmean(values["discrete/fair"])


@pytest.mark.parametrize(("name", "times"), [("lime", 1), (SENN, 2)])
def test_what_both_settings_remove_alike_is_removed_once(name, times, table, settings, monkeypatch):
    removals, remove = [], library.leave_one_out

    def counted(removal, *others):
        removals.append(removal)
        return remove(removal, *others)

    monkeypatch.setattr(library, "leave_one_out", counted)
    values = measured(name, subject(random_table_senn(), table, settings, anchors=10))
    assert len(removals) == times
    paper, fair = (values[f"faithfulness/{setting}"] for setting in ("paper", "fair"))
    assert np.array_equal(paper, fair) == (times == 1)


@pytest.mark.parametrize("name", rivals_for(False))
def test_of_a_table_of_one_column(name, table, settings):
    splits = {
        part: replace(getattr(table, part), x=getattr(table, part).x[:, :1])
        for part in ("train", "valid", "test")
    }
    one = replace(table, **splits, feature_names=("a",))
    values = measured(name, subject(random_table_senn(1), one, settings, anchors=10))
    assert np.isfinite(values["local/fair"]).all()
    assert np.isnan(values["faithfulness/fair"]).all()  # one attribution has no correlation


def test_the_same_twice(table, settings):
    for name in ("lime", SENN):
        first, second = (
            measured(name, subject(random_table_senn(), table, settings)) for _ in range(2)
        )
        for key in first:
            np.testing.assert_array_equal(first[key], second[key])


def test_equation_6_by_a_double_loop(table, settings):
    model, x = random_table_senn(), table.test.x
    _, evaluate = settings
    radius = evaluate.lipschitz_discrete_radius * spread(table.train.x)
    target = model(x).logits.argmax(1)
    expected = []
    for i in range(12):
        e = relevances(model, x, target[i].expand(12))
        distance = (x - x[i]).norm(dim=1)
        near = (distance <= radius) & (distance > 0)
        ratios = ((e - e[i]).norm(dim=1) / distance)[near]
        expected.append(max(ratios.tolist(), default=np.nan))
    found = measured(SENN, subject(model, table, settings))["discrete/fair"]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_faithfulness_without_relevances_and_without_features(table, settings):
    model = random_table_senn()
    one = subject(model, table, settings, anchors=10)
    values = measured(SENN, one)
    x, target = one.x, one.target
    with torch.no_grad():
        p = model(x).logits.double().softmax(1)[range(10), target]
        zero, median = [], []
        for i in range(6):
            theta = model.parameterizer(x)
            theta[:, i] = 0
            logits = (theta * x.unsqueeze(2)).sum(1)
            zero.append(p - logits.double().softmax(1)[range(10), target])
            moved = x.clone()
            moved[:, i] = table.train.x[:, i].median()
            median.append(p - model(moved).logits.double().softmax(1)[range(10), target])
        e = relevances(model, x, target).double()
    for key, drops in (("paper", zero), ("fair", median)):
        expected = correlation(e, torch.stack(drops, 1))
        np.testing.assert_allclose(values[f"faithfulness/{key}"], expected, atol=1e-4)
