import copy
import json
from pathlib import Path
from typing import Any, get_args

import pytest
from dvc.utils.serialize import dumps_yaml, parse_yaml
from pydantic import ValidationError
from ruamel.yaml import YAML

from pipeline.core import params_choices as choice
from pipeline.core.errors import PipelineError
from pipeline.core.params import Experiment, Params, load_params
from pipeline.data.texts import Corpus

PAPER = Path(__file__).resolve().parents[2] / "presets" / "paper.yaml"
CONTENT: dict[str, Any] = YAML(typ="safe", pure=True).load(PAPER)
del CONTENT["experiments"]["uci"]  # see test_params_tables.py
del CONTENT["experiments"]["newsgroups_senn"]
del CONTENT["experiments"]["mnist_senn"]["lambda_grid"]  # for the top-level one
CONTENT["rivals"]["experiments"] = ["compas_senn", "mnist_senn"]
CONTENT["power"]["experiments"] = []
CONTENT["certify"]["experiments"] = ["compas_senn"]


@pytest.fixture
def content() -> dict[str, Any]:
    """A valid file's content, to be broken."""
    return copy.deepcopy(CONTENT)


@pytest.fixture
def in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def load_text(text: str) -> list[str]:
    """What `load_params` ends with when params.yaml is `text`."""
    Path("params.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(PipelineError) as caught:
        load_params()
    return str(caught.value).splitlines()


def test_all_problems_are_told_together(content, in_tmp):
    experiments = content["experiments"]
    content["robust_reg"] = "a"
    content["seeds"] = [1, 1]
    content["vae"]["hidden_sizes"] = [512, -1, 2.5]
    experiments["compas_senn"]["conceptizer"]["name"] = "identiy"
    experiments["mnist_senn"]["lrr"] = experiments["mnist_senn"].pop("lr")
    experiments["mnist_disenn"]["initial_weights"] = "models"
    assert load_text(dumps_yaml(content)) == [
        'params.yaml: robust_reg: must be a number, got "a"',
        "params.yaml: seeds: must not repeat 1, got [1, 1]",
        "params.yaml: vae.hidden_sizes[1]: must be ≥ 1, got -1",
        "params.yaml: vae.hidden_sizes[2]: must be a whole number, got 2.5",
        "params.yaml: experiments.compas_senn.conceptizer.name: must be identity, conv, vae or "
        'words, got "identiy"; did you mean identity?',
        "params.yaml: experiments.mnist_senn.lr: is required",
        "params.yaml: experiments.mnist_senn.lrr: unknown key; did you mean lr?",
        "params.yaml: experiments.mnist_disenn.initial_weights: must be "
        'pipeline/models/building.py or models/vae, got "models"; did you mean models/vae?',
    ]


def test_all_that_does_not_fit_together_is_told_together(content, in_tmp):
    experiments = content["experiments"]
    content["robust_reg"] = 0.10000001
    content["datasets"] = ["mnist"]
    experiments["mnist_senn"]["lambda_grid"] = [0.1]
    experiments["mnist_disenn"]["num_concepts"] = 6
    assert load_text(dumps_yaml(content)) == [
        "params.yaml: experiments.compas_senn.dataset: must be among datasets (mnist), "
        'got "compas"',
        'params.yaml: tokenizer.dataset: must be among datasets (mnist), got "newsgroups"',
        "params.yaml: experiments.mnist_disenn.num_concepts: must be vae.num_concepts, 5, with "
        "model_class DiSENN, got 6",
        "params.yaml: robust_reg: must equal the grid's 0.1 or differ from it in the first 6 "
        "digits (both would be stored as lambda=0.1), got 0.10000001",
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "must be a file of keys and values, got null (presets/ has some)"),
        ("- 1", "must be a file of keys and values, got [1] (presets/ has some)"),
        ("a: 1\nb: [1", "line 2: not valid YAML: expected ',' or ']', but got '<stream end>'"),
        (
            "seeds: 1\n\nseeds: 2",
            'line 3: not valid YAML: found duplicate key "seeds" with value "2" '
            '(original value: "1")',
        ),
        ("a: 1\n---\nb: 1", "line 2: not valid YAML: but found another document"),
        ("a: 2020-99-01", "not valid YAML: month must be in 1..12"),
    ],
)
def test_not_a_params_file(in_tmp, text, line):
    assert load_text(text) == [f"params.yaml: {line}"]


def test_yaml_cannot_run_code(in_tmp):
    (line,) = load_text("robust_reg: !!python/object/apply:os.system [exit 1]")
    assert line.startswith("params.yaml: line 1: not valid YAML: could not determine a constructor")


def test_not_text(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_bytes(b"robust_reg: \xff")
    with pytest.raises(PipelineError, match=r"params\.yaml: not UTF-8 text: .*byte 0xff"):
        load_params(path)


def test_no_file(in_tmp):
    with pytest.raises(PipelineError) as caught:
        load_params()
    assert str(caught.value) == (
        "params.yaml: cannot be read: No such file or directory. Run this in the root folder of "
        "the repository, with a params file in it (presets/ has some)."
    )


@pytest.mark.parametrize(
    ("written", "value"),
    [("1e-4", 1e-4), ("1e-05", 1e-5), ("1E-3", 1e-3), ("+1.5e+0", 1.5), (".5", 0.5), ("1", 1.0)],
)
def test_numbers_are_read_as_dvc_reads_them(tmp_path, written, value):
    text = PAPER.read_text(encoding="utf-8")
    line = "\nrobust_reg: 0.0001 "
    assert line in text
    text = text.replace(line, f"\nrobust_reg: {written} ")
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    read = load_params(path).robust_reg
    assert (type(read), read) == (float, value)
    assert parse_yaml(text, path)["robust_reg"] == value


def test_byte_order_mark_is_no_error(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(PAPER.read_text(encoding="utf-8"), encoding="utf-8-sig")
    assert load_params(path) == load_params(PAPER)


def test_grid_is_headline_and_own_or_common_lambdas(content):
    content["robust_reg"] = 0.5
    content["lambda_grid"] = [1, 0.01]
    content["experiments"]["mnist_senn"]["lambda_grid"] = [0.5, 0.25]
    content["experiments"]["mnist_disenn"]["lambda_grid"] = []
    params = Params.model_validate(content)
    assert params.lambdas("compas_senn") == (0.01, 0.5, 1.0)
    assert params.lambdas("mnist_senn") == (0.25, 0.5)
    assert params.lambdas("mnist_disenn") == (0.5,)
    assert all(type(value) is float for value in params.lambdas("compas_senn"))


def test_seeds_are_an_experiments_own_or_the_common_ones(content):
    content["seeds"] = [7, 3]
    content["experiments"]["compas_senn"]["seeds"] = [5, 1, 2]
    content["experiments"]["mnist_disenn"]["seeds"] = [3]
    for section in ("explain", "certify", "attack"):
        content[section]["seeds"] = 1
    params = Params.model_validate(content)
    every = ("compas_senn", "mnist_senn", "mnist_disenn")
    assert [params.seeds_of(name) for name in every] == [(5, 1, 2), (7, 3), (3,)]


def test_this_machine_computes_unless_something_else_is_said(content):
    content.pop("compute")
    assert Params.model_validate(content).compute.engine == "local"
    content["compute"] = {"engine": "ray"}
    assert Params.model_validate(content).compute.model_dump() == {
        "engine": "ray",
        "cores_per_task": 1,
    }


def test_empty_lambda_grid_leaves_the_headline(content):
    content["lambda_grid"] = []
    assert Params.model_validate(content).lambdas("mnist_senn") == (0.0001,)


def test_the_tokenizer_reads_any_dataset_of_texts(content):
    for name in ("reuters_r8", "newsgroups"):
        content["datasets"] = ["compas", "mnist", name]
        content["tokenizer"]["dataset"] = name
        assert Params.model_validate(content).tokenizer.dataset == name
        assert isinstance(choice.implementation(choice.DATASETS[name].module), Corpus)


def test_experiment_by_name():
    params = load_params(PAPER)
    assert params.experiment("mnist_senn") is params.experiments["mnist_senn"]
    there = f"params.yaml: experiments: has {', '.join(params.experiments)}, not"
    for call in (params.experiment, params.lambdas, params.seeds_of):
        with pytest.raises(PipelineError) as caught:
            call("mnist_sen")
        assert str(caught.value) == f"{there} mnist_sen; did you mean mnist_senn?"
    with pytest.raises(PipelineError) as caught:
        params.experiment("x")
    assert str(caught.value) == f"{there} x"


def test_params_are_immutable_and_survive_json():
    params = load_params(PAPER)
    with pytest.raises(ValidationError, match="frozen"):
        params.robust_reg = 1.0
    for again in (params.model_dump_json(), json.dumps(params.model_dump())):
        assert Params.model_validate(json.loads(again)) == params


def test_rivals_are_compared_on_tables_and_images(content, in_tmp):
    news = YAML(typ="safe", pure=True).load(PAPER)["experiments"]["newsgroups_senn"]
    content["experiments"]["news"] = news
    Params.model_validate(content)
    content["rivals"]["experiments"] = ["compas_senn", "news"]
    assert load_text(dumps_yaml(content)) == [
        'params.yaml: rivals.experiments[1]: must be an experiment on tables or images, got "news"'
    ]


def test_the_aggregator_is_the_one_that_models_are_built_with():
    # `build_senn` does not ask: with another one allowed, it must.
    assert get_args(Experiment.model_fields["aggregator"].annotation) == ("sum",)
