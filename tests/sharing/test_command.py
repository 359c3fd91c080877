import json

import numpy as np
import pytest
from PIL import Image

from pipeline.explain import load
from pipeline.sharing.command import main


@pytest.fixture
def run(models, monkeypatch, tmp_path, capsys):
    """``run(*arguments)``: what the command prints, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str) -> str:
        monkeypatch.setattr("sys.argv", ["explain", *arguments])
        main()
        return capsys.readouterr().out

    return command


def test_a_row(run, tmp_path):
    printed = run("compas_senn", "--set", "Feature_A=0.25", "--set", "feature b=1")
    expected = load("compas_senn").explain({"Feature_A": 0.25, "Feature_B": 1})
    assert printed == f"{expected}\n\nFigure: explanation.png\n"
    assert (tmp_path / "explanation.png").read_bytes() == expected._repr_png_()


def test_an_image_as_json(run, tmp_path):
    pixels = np.zeros((28, 28), np.uint8)
    pixels[4:24, 12:16] = 255
    Image.fromarray(pixels).save("one.png")
    printed = run("mnist_senn", "one.png", "--json", "--method", "sensitivity", "--for", "7")
    expected = load("mnist_senn").explain("one.png", "sensitivity", "7")
    assert json.loads(printed) == json.loads(json.dumps(expected.as_dict()))
    assert [path.name for path in tmp_path.iterdir()] == ["one.png"]


def test_lists(run):
    assert run() == run("--list")
    for name in ("compas_senn", "mnist_senn", "mnist_disenn"):
        assert f"{load(name)}\n" in run("--list")
    described = run("compas_senn", "--list")
    for words in (
        "Feature_A",
        "Feature A",
        "0 to 1",
        "Low, Medium or High",
        "lime",
        "never use it",
    ):
        assert words in described
    assert "28 × 28 pixels" in run("mnist_senn", "--list")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compas_senn", "a.png"], "takes features, not a file: --set FEATURE=VALUE"),
        (["compas_senn", "--set", "a"], "--set a: must be FEATURE=VALUE"),
        (
            ["compas_senn", "--set", "a=1", "--set", "a=2"],
            "--set a=2: a is already 1; give it once",
        ),
        (["mnist_senn", "--set", "a=1"], "takes an image file, not --set"),
        (["mnist_senn"], "name an image file after the model"),
        (["mnist_senn", "a.png"], "cannot read a.png: No such file or directory"),
        (["mnist"], "has no model mnist"),
    ],
)
def test_errors_are_one_line(run, arguments, message):
    with pytest.raises(SystemExit) as stopped:
        run(*arguments)
    assert stopped.value.code.startswith("error: ") and message in stopped.value.code
    assert "\n" not in stopped.value.code


def test_without_models(run, monkeypatch, tmp_path):
    monkeypatch.setattr("pipeline.explain.MODELS", tmp_path)
    monkeypatch.setattr("pipeline.sharing.command.MODELS", tmp_path)
    with pytest.raises(SystemExit, match="has no models; `dvc repro` makes them"):
        run("--list")
