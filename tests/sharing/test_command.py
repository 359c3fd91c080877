import io
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


def test_a_text(run, tmp_path, monkeypatch):
    expected = load("reuters_senn").explain("worda, said the wordb", "occlusion")
    text = ["--text", "worda, said the wordb", "--method", "occlusion"]
    printed = run("reuters_senn", *text)
    assert printed == f"{expected}\n\nPage: explanation.html\n"
    assert (tmp_path / "explanation.html").read_text(encoding="utf-8") == expected.html()
    assert run("reuters_senn", *text, "--out", "why.png").endswith("Figure: why.png\n")
    assert (tmp_path / "why.png").read_bytes() == expected._repr_png_()
    monkeypatch.setattr("sys.stdin", io.StringIO("worda,\nsaid the wordb\n"))
    printed = run("reuters_senn", "--text", "-", *text[2:], "--json")
    assert json.loads(printed) == json.loads(json.dumps(expected.as_dict()))


@pytest.mark.parametrize(
    ("is_terminal", "environment", "is_coloured"),
    [
        (False, {}, False),
        (True, {}, True),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"NO_COLOR": ""}, True),
        (True, {"TERM": "dumb"}, False),
        (False, {"FORCE_COLOR": "1"}, True),
        (False, {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_colours_are_for_terminals(run, monkeypatch, is_terminal, environment, is_coloured):
    for name, value in {"NO_COLOR": "", "FORCE_COLOR": "", "TERM": "xterm", **environment}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout.isatty", lambda: is_terminal)
    assert ("\x1b[" in run("reuters_senn", "--text", "worda said the wordb")) == is_coloured


def test_lists(run):
    assert run() == run("--list")
    for name in ("compas_senn", "mnist_senn", "mnist_disenn", "reuters_senn"):
        assert f"{load(name)}\n" in run("--list")
    described = run("compas_senn", "--list")
    for words in (
        "Feature_A",
        "Feature A",
        "0 to 1",
        "Low, Medium or High",
        "lime",
        "never to judge a person",
    ):
        assert words in described
    assert "28 × 28 pixels" in run("mnist_senn", "--list")
    described = run("reuters_senn", "--list")
    assert "the model reads its first 6 words" in described
    assert "vocabulary: 9 words, such as worda, wordb" in described
    assert "lime" in described and "deep_lift" not in described


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["compas_senn", "a.png"],
            "takes features (--set FEATURE=VALUE; --list names them), not an image file",
        ),
        (["compas_senn", "--set", "a"], "--set a: must be FEATURE=VALUE"),
        (
            ["compas_senn", "--set", "a=1", "--set", "a=2"],
            "--set a=2: a is already 1; give it once",
        ),
        (["mnist_senn", "--set", "a=1"], "takes an image file, not features (--set"),
        (["mnist_senn", "--text", ""], 'takes an image file, not a text (--text "…")'),
        (["mnist_senn"], "takes an image file, and none is given"),
        (["reuters_senn"], 'takes a text (--text "…"), and none is given'),
        (["reuters_senn", "a.txt"], 'takes a text (--text "…"), not an image file'),
        (["reuters_senn", "--text", "1 2 3"], "the text '1 2 3' has no words"),
        (["reuters_senn", "--text", "worda", "--for", "topic"], "has no class topic; did you mean"),
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
