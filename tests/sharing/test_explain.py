"""The public module: what it says is what the network says, and what the report draws."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.core.dataset import load_dataset
from pipeline.core.errors import PipelineError
from pipeline.explain import load, names
from pipeline.explanations.method import Background
from pipeline.explanations.methods import methods_for
from pipeline.reporting import explanations as report
from pipeline.reporting.common import raw
from pipeline.reporting.style import png
from pipeline.sharing.command import _models
from pipeline.sharing.facts import Ground

EXPERIMENTS = ["compas_senn", "mnist_disenn", "mnist_senn", "reuters_senn", "uci_wine"]
CELL = "models/{}/lambda=0.01/seed=5.safetensors"


@pytest.fixture
def given(models, shared_run):
    """``given(name)``: the model, its dataset, and the first test example as it may be given."""

    def get(name):
        model = load(name)
        chosen = model.about["params"]["experiment"]["dataset"]
        data = load_dataset(shared_run / "data/prepared" / chosen)
        if data.kind == "texts":
            return model, data, text_of(data)
        return model, data, raw(data.test.x[0], data)

    return get


def text_of(data):
    """The first test text; the unknown word is one of two that are not in the vocabulary."""
    words = [data.vocabulary[place] for place in data.test.words[0] if place > 0]
    return " ".join(words).replace("<unknown>", "xyz", 1).replace("<unknown>", "zyx")


def test_models_by_name_path_and_content(models, shared_run):
    assert names() == [*EXPERIMENTS[:4], "uci_breast_cancer", "uci_wine"]
    for name in EXPERIMENTS[:4]:
        path, cell = models / name / f"{name}.safetensors", shared_run / CELL.format(name)
        assert "curve" not in load(name).about
        for other in (load(path), load(str(path)), load(path.read_bytes()), load(cell)):
            assert other.facts == load(name).facts
            weights = other.senn.state_dict()
            for key, value in load(name).senn.state_dict().items():
                assert torch.equal(weights[key], value)


def test_models_of_the_full_run(models, tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.explain.MODELS", tmp_path / "models")
    for folder, name in {"models": "compas_senn", "paper/models": "mnist_senn"}.items():
        shutil.copytree(models / name, tmp_path / folder / name)
    assert names() == ["compas_senn", "paper/mnist_senn"]
    assert load("paper/mnist_senn").about["experiment"] == "mnist_senn"
    listed = [line.partition(": ")[0] for line in _models().splitlines()]
    assert listed[:2] == names()
    with pytest.raises(PipelineError, match="no model mnist_senn; did you mean paper/mnist_senn"):
        load("mnist_senn")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("compas_sen", "has no model compas_sen; did you mean compas_senn?"),
        ("x", "has no model x; has compas_senn, mnist_disenn, mnist_senn, reuters_senn"),
        ("x.safetensors", "cannot read x.safetensors"),
        (b"no model", "cannot read the model"),
    ],
)
def test_models_that_are_not_there(models, name, message):
    with pytest.raises(PipelineError, match=message.replace("?", r"\?")):
        load(name)


def test_a_cell_of_other_data_is_refused(models, shared_run, tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.explain.PREPARED", tmp_path)
    with pytest.raises(PipelineError, match=r"compas/data\.safetensors"):
        load(shared_run / CELL.format("compas_senn"))
    other = (shared_run / "data/prepared/mnist_5k/data.safetensors").read_bytes()
    (tmp_path / "compas").mkdir()
    (tmp_path / "compas/data.safetensors").write_bytes(other)
    with pytest.raises(PipelineError, match="was trained on data with the SHA-256"):
        load(shared_run / CELL.format("compas_senn"))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_what_the_network_says(given, name):
    model, data, x = given(name)
    why = model.explain(x)
    output = model.senn(data.test.x[:1])
    predicted = int(output.logits.argmax())
    assert why.prediction == why.target == data.class_names[predicted]
    logits = torch.tensor(list(why.logits.values()))
    torch.testing.assert_close(logits, output.logits[0], rtol=1e-4, atol=1e-5)
    assert sum(why.probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert why.contributions.sum() == pytest.approx(why.logits[why.prediction], abs=1e-4)
    assert why.contrast_contributions.sum() == pytest.approx(why.logits[why.contrast], abs=1e-4)
    np.testing.assert_allclose(why.contributions, why.relevances * why.concepts, rtol=1e-6)
    theta = output.relevances[0, : len(why.concept_names), predicted]
    np.testing.assert_allclose(why.relevances, theta.numpy(), rtol=1e-4, atol=1e-6)
    second = sorted(why.logits, key=why.logits.get)[-2]
    assert why.contrast == second


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_method_for_any_class(given, name):
    model, data, x = given(name)
    assert list(model.methods) == list(methods_for(model.senn))
    target = data.class_names[1]
    for method in model.methods.values():
        if method.is_costly and data.kind == "images":
            continue
        if method.family == "propagation" and data.kind == "texts":
            continue  # tests/explanations/relprop
        why = model.explain(x, method.name, target)
        build = method.build(Background.of(data))
        expected = build(model.senn, data.test.x[:1], torch.tensor([1]))[0].detach()
        if data.kind == "texts":
            expected = expected.reshape(data.input_shape[0], -1).sum(1)[: len(why.feature_names)]
        np.testing.assert_allclose(why.attributions, expected, rtol=1e-3, atol=1e-4)
        assert (why.target, why.method, why.speaks_of) == (target, method.name, method.speaks_of)
        json.dumps(why.as_dict(), allow_nan=False)


@pytest.mark.parametrize("name", [name for name in EXPERIMENTS if name != "reuters_senn"])
def test_the_figure_is_the_reports(given, name):
    model, data, x = given(name)
    why = model.explain(x)
    (example,) = report.explained(model.senn, data, torch.tensor([0]))
    example = report.Example(**{**vars(example), "truth": example.prediction})
    limits = report.common_limits([example])
    if data.kind != "images":
        expected = report.table_explanation(example, model.facts.plain_names, limits)
    elif name == "mnist_senn":
        expected = report.image_explanation(example, limits)
    else:
        expected = report.contrastive_explanation(example, why.strips, limits)
    assert _pixels(why.plot()) == pytest.approx(_pixels(expected), abs=2)  # last bits of inputs
    assert why._repr_png_() == png(why.plot())


def _pixels(figure):
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba()).astype(int)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_figures_of_methods_and_of_other_classes(given, name):
    model, data, x = given(name)
    predicted = model.explain(x).prediction
    other = next(label for label in data.class_names if label != predicted)
    title = model.explain(x, target=other).plot().get_suptitle()
    assert title.startswith(f"Why {other} (")
    title = model.explain(x, "sensitivity").plot().get_suptitle()
    assert title.replace("\n", " ").endswith(": Sensitivity")


def test_the_text_has_all_the_numbers(given):
    model, _, x = given("compas_senn")
    why = model.explain(x, "occlusion")
    text = str(why)
    assert all(name in text for name in model.facts.plain_names)
    for value in (*why.contributions, *why.attributions, why.logits[why.target]):
        digits = f"{abs(value):.2f}"
        assert digits in text
    assert f"{100 * why.probabilities[why.prediction]:.1f} %" in text
    assert max(map(len, text.splitlines())) <= 100
    picture = str(given("mnist_senn")[0].explain(given("mnist_senn")[2]))
    assert "█" in picture and picture.count("│") > 28


def test_images_and_rows(models, tmp_path):
    pixels = np.zeros((28, 28), np.uint8)
    pixels[4:24, 12:16] = 255
    Image.fromarray(pixels).save(tmp_path / "one.png")
    model = load("mnist_senn")
    whole = model.explain(torch.from_numpy(pixels).unsqueeze(0))
    by_path = model.explain(tmp_path / "one.png")
    assert np.array_equal(by_path.input, whole.input) and whole.input.max() == 1
    assert np.array_equal(by_path.contributions, whole.contributions)
    row = load("compas_senn").explain({"Feature A": 0.25, "Feature_B": 5})
    assert row.values[:2] == pytest.approx((0.25, 5))
    assert row.notes[0].startswith("Not given") and "Feature B is 5" in row.warnings[0]


def test_concepts_out_of_their_range_are_said(given):
    model, _, x = given("mnist_senn")
    usual = model.explain(x)
    h2 = float(usual.concepts[1])
    ranges = [list(ends) for ends in model.facts.concept_range]
    ranges[1] = [h2 - 2, h2 - 1]
    facts = model.facts.model_copy(update={"concept_range": ranges})
    strange = replace(model, facts=facts).explain(x)
    (added,) = set(strange.warnings) - set(usual.warnings)
    assert added.startswith(f"Concept h2 is {h2:.3g}; in training it was from {h2 - 2:.3g} to")
    assert "! Careful: Concept h2 is" in str(strange)


def test_images_with_too_little_on_them_are_said(given):
    model, _, x = given("mnist_senn")
    for drawn, is_said in (((0.0, 1.0), False), ((0.99, 1.0), True)):
        facts = model.facts.model_copy(update={"ground": Ground(value=0, extent=20, drawn=drawn)})
        found = replace(model, facts=facts).explain(x).warnings
        assert any("of the image is drawn" in one for one in found) == is_said


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("compas_senn", ("a.png",), "takes values of features, not the file a.png"),
        ("mnist_senn", ({"a": 1},), "takes images, not values of features"),
        ("mnist_senn", (np.full((1, 28, 28), 2.5),), r"pixels in \[0, 1\], got 2.5 to 2.5"),
        ("mnist_senn", (np.zeros((28, 28)),), r"shape \(1, 28, 28\), got \(28, 28\)"),
        ("reuters_senn", ({"a": 1},), "takes a text, not values of features"),
        ("reuters_senn", (Path("a.txt"),), r"takes a text, not the file a\.txt"),
        ("reuters_senn", (np.zeros((12, 6)),), "takes a text, not a ndarray"),
        ("compas_senn", ({}, "lim"), "has no method lim; did you mean lime"),
        ("compas_senn", ({}, "lime", "Lo"), "has no class Lo; did you mean Low"),
    ],
)
def test_what_cannot_be_explained(models, name, arguments, message):
    with pytest.raises(PipelineError, match=f"{name}: .*{message}"):
        load(name).explain(*arguments)
