import base64
import io
import json

import numpy as np
import pytest
from bs4 import BeautifulSoup
from PIL import Image

from pipeline.explanations.method import Background
from pipeline.reporting import explorer
from tests.reporting.conftest import read
from tests.reporting.workspace import default_params, make_workspace


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    params = default_params()
    params["experiments"]["compas_senn"]["seeds"] = [5, 6, 7, 8, 9]
    make_workspace(folder, params)
    return read(folder)


@pytest.fixture(scope="module")
def embedded(results) -> dict[str, dict]:
    """What the page embeds, by experiment, as a browser reads it."""
    html = next(explorer.explorer(results)).html
    script = BeautifulSoup(html, "html.parser").find("script", id="explorer-data")
    assert script["type"] == "application/json"
    return {one["name"]: one for one in json.loads(script.string)}


def test_what_can_be_chosen(embedded):
    compas, senn, disenn = embedded.values()
    assert (compas["title"], disenn["title"]) == ("SENN on compas", "DiSENN on mnist_5k")
    assert compas["seeds"] == ["5", "6", "7"]  # the first few of many
    for one in (compas, senn, disenn):
        assert one["lambdas"] == ["0.01", "1"] and one["headline"] == 0
        shape = (len(one["lambdas"]), len(one["seeds"]), len(one["examples"]))
        assert np.shape(one["cells"]) == shape
    assert senn["examples"][3]["label"] == "4: 3"  # one of each class
    assert all("image" in one for one in senn["examples"])
    assert not any("image" in one for one in compas["examples"])


@pytest.mark.parametrize("name", ["compas_senn", "mnist_senn", "mnist_disenn"])
def test_cells_are_what_the_models_say(results, embedded, name):
    experiment, one = results.experiments[name], embedded[name]
    data = experiment.data
    rank = {label: 0 for label in range(len(data.class_names))}
    places = []
    for index, label in enumerate(data.test.y.tolist()):
        places.append((rank[label], label, index))
        rank[label] += 1
    places = [index for *_, index in sorted(places)][: len(one["examples"])]
    close = {"rtol": 6e-4, "atol": 1e-6}  # four digits
    for at, robust_reg in enumerate((0.01, 1.0)):
        for seed, cells in zip(experiment.seeds, one["cells"][at], strict=False):
            model = experiment.model_of(robust_reg, seed)
            for cell, index in zip(cells, places, strict=True):
                output = model(data.test.x[index : index + 1])
                label = int(output.logits.argmax())
                theta, h = output.relevances[0, :, label], output.concepts[0]
                p = output.logits.softmax(1)[0, label]
                assert cell["says"] == data.class_names[label]
                np.testing.assert_allclose(cell["p"], p, **close)
                np.testing.assert_allclose(cell["concepts"], h, **close)
                np.testing.assert_allclose(cell["relevances"], theta, **close)
                np.testing.assert_allclose(cell["contributions"], theta * h, **close)
                changes = _changes(model, data, index, label) - p.item()
                np.testing.assert_allclose(cell["changes"], changes, rtol=1e-3, atol=1e-5)
                assert cell["reason"].startswith(f"The model says {cell['says']} (")
                assert f"the logit of {cell['says']}; " in cell["sum"]


def _changes(model, data, index, label) -> np.ndarray:
    """p of `label` without each concept, written out."""
    x = data.test.x[index]
    probabilities = []
    output = model(x[None])
    for k in range(output.concepts.shape[1]):
        if data.kind != "images":
            without = x.clone()
            without[k] = Background.of(data).baseline[k]
            logits = model(without[None]).logits
        else:
            h = output.concepts.clone()
            h[0, k] = model.conceptizer.encode(data.train.x[: explorer.TRAINING]).mean(0)[k]
            logits = (output.relevances * h.unsqueeze(2)).sum(1)
        probabilities.append(logits.softmax(1)[0, label].item())
    return np.array(probabilities)


def test_images_are_the_inputs(results, embedded):
    data = results.experiments["mnist_senn"].data
    uri = embedded["mnist_senn"]["examples"][0]["image"]
    with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as image:
        shown = np.asarray(image.convert("L")) / 255
    first = data.test.x[int((data.test.y == 0).nonzero()[0])]
    np.testing.assert_allclose(1 - shown, (first * data.std + data.mean)[0], atol=1 / 255)


def test_nothing_in_the_data_ends_the_script():
    html = explorer.controls_of([{"title": "</script><b>"}])
    soup = BeautifulSoup(html, "html.parser")
    assert soup.b is None
    assert json.loads(soup.find("script").string) == [{"title": "</script><b>"}]


def test_it_is_hidden_from_those_without_a_script(results):
    soup = BeautifulSoup(next(explorer.explorer(results)).html, "html.parser")
    assert soup.select_one("section.explorer").has_attr("hidden")
    names = [select["name"] for select in soup.find_all("select")]
    assert names == list(explorer.CHOICES)
