import json

import numpy as np
import pytest
import torch

from pipeline.data.compas import CAVEAT
from pipeline.models.building import Inputs, build_senn
from pipeline.reporting.common import pick
from pipeline.reporting.explanations import caveats, common_limits, explained
from tests.conftest import REPOSITORY


def test_pick_takes_the_first_of_each_class_then_the_second():
    labels = torch.tensor([0, 0, 0, 2, 1, 1, 2])
    assert pick(labels, 5).tolist() == [0, 4, 3, 1, 5]
    assert pick(labels, 100).tolist() == [0, 4, 3, 1, 5, 6, 2]
    assert pick(torch.tensor([1, 1]), 1).tolist() == [0]


@pytest.mark.parametrize("name", ["compas_senn", "mnist_senn", "mnist_disenn"])
def test_explained_says_what_the_model_says(results, name):
    experiment = results.experiments[name]
    model, data = experiment.model, experiment.data
    indices = torch.tensor([3, 0, 17])
    for index, example in zip(indices, explained(model, data, indices), strict=True):
        output = model(data.test.x[index : index + 1])
        order = output.logits[0].argsort(descending=True)
        theta, h = output.relevances[0], output.concepts[0]
        assert example.prediction == data.class_names[order[0]]
        assert example.contrast == data.class_names[order[1]]
        assert example.truth == data.class_names[data.test.y[index]]
        assert example.probability == pytest.approx(output.logits.softmax(1).max().item())
        close = {"rtol": 1e-4, "atol": 1e-5}
        np.testing.assert_allclose(example.concepts, h, **close)
        np.testing.assert_allclose(example.relevances, theta[:, order[0]], **close)
        np.testing.assert_allclose(example.contributions, theta[:, order[0]] * h, **close)
        np.testing.assert_allclose(example.contrast_contributions, theta[:, order[1]] * h, **close)
        # The contributions are the whole of the prediction.
        assert example.contributions.sum() == pytest.approx(output.logits.max().item(), abs=1e-4)
        np.testing.assert_allclose(example.x, data.test.x[index] * data.std + data.mean, atol=1e-6)
        assert example.x.min() >= 0 and example.x.max() <= 1


def test_common_limits_hold_all_examples(results):
    experiment = results.experiments["mnist_senn"]
    examples = explained(experiment.model, experiment.data, torch.arange(5))
    limit = common_limits(examples)["contributions"]
    largest = max(abs(value) for example in examples for value in example.contributions)
    assert largest < limit < 1.1 * largest


def test_the_explained_model_is_the_headlines_first_seed(results):
    experiment = results.experiments["mnist_senn"]
    data = experiment.data
    inputs = Inputs(data.input_shape, data.mean, data.std)
    expected = build_senn("mnist_senn", experiment.settings, results.params.vae, inputs, seed=5)
    for name, weights in expected.state_dict().items():
        assert torch.equal(experiment.model.state_dict()[name], weights)
    assert not experiment.model.training


def test_a_caveat_stands_before_the_first_prediction(results):
    (told,) = caveats(results)
    assert told.markdown.endswith(CAVEAT)
    cells = json.loads((REPOSITORY / "reports/template.ipynb").read_text(encoding="utf-8"))["cells"]
    calls = ["".join(cell["source"]) for cell in cells]
    caveat, *predictions = (
        calls.index(f'page.show("{name}")')
        for name in ("explanations.caveats", "explorer.explorer", "explanations.explanations")
    )
    assert caveat < min(predictions)
