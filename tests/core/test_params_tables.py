import copy
import json
from pathlib import Path
from typing import Any

import pytest
from dvc.utils.serialize import dumps_yaml
from ruamel.yaml import YAML

from pipeline.core.errors import PipelineError
from pipeline.core.params import Params, load_params

DEFAULT = Path(__file__).resolve().parents[2] / "params.yaml"
CONTENT: dict[str, Any] = YAML(typ="safe", pure=True).load(DEFAULT)


@pytest.fixture
def content() -> dict[str, Any]:
    """The default file's content, with two tables."""
    content = copy.deepcopy(CONTENT)
    del content["experiments"]["reuters_senn"]
    content["explain"]["experiments"].remove("reuters_senn")
    tables = content["experiments"]["uci"]["tables"]
    content["experiments"]["uci"]["tables"] = {name: tables[name] for name in ("heart", "wine")}
    content["rivals"]["experiments"] = ["compas_senn"]
    content["power"]["experiments"] = []
    content["certify"]["experiments"] = ["compas_senn"]
    return content


def problems(content: dict[str, Any], folder: Path) -> list[str]:
    """What `load_params` says of `content`."""
    path = folder / "params.yaml"
    path.write_text(dumps_yaml(content), encoding="utf-8")
    with pytest.raises(PipelineError) as caught:
        load_params(path)
    return [line.removeprefix(f"{path}: ") for line in str(caught.value).splitlines()]


def test_a_table_is_an_experiment_like_one_that_is_written_out(content):
    uci = content["experiments"]["uci"]
    uci["tables"]["heart"] |= {"lr": 0.5, "lambda_grid": [0.0, 2.0], "dropout": 0.1}
    params = Params.model_validate(content)
    written = {k: v for k, v in uci.items() if k != "tables"} | uci["tables"]["heart"]
    content["experiments"]["alone"] = written | {"dataset": "uci/heart"}
    alone = Params.model_validate(content)
    heart = params.experiment("uci_heart")
    assert heart == alone.experiment("alone").model_copy(update={"entry": "uci"})
    assert (heart.lr, params.experiment("uci_wine").lr) == (0.5, uci["lr"])
    assert params.lambdas("uci_heart") == (0.0, 1e-4, 2.0)
    assert list(params.experiments)[3:] == ["uci_heart", "uci_wine"]


def test_an_entry_stands_for_its_tables(content):
    params = Params.model_validate(content)
    assert params.names_of("uci") == ("uci_heart", "uci_wine")
    assert params.names_of("compas_senn") == ("compas_senn",)
    assert (params.group_of("uci_wine"), params.group_of("compas_senn")) == ("uci", "")
    for name in ("uci_wine", "uc"):  # a table is part of an entry, and no entry
        with pytest.raises(PipelineError, match=f"mnist_disenn, uci, not {name}"):
            params.names_of(name)


def test_survives_json_and_content_is_left_as_it_is(content):
    before = copy.deepcopy(content)
    params = Params.model_validate(content)
    assert content == before
    assert Params.model_validate(json.loads(params.model_dump_json())) == params


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        # What all tables have is told once, where it is written.
        ({"lr": -1}, ["experiments.uci.lr: must be > 0, got -1"]),
        ({"lr": None}, ["experiments.uci.lr: must be a number, got null"]),
        ({"lambda_grid": [0.1, -1.0]}, ["experiments.uci.lambda_grid[1]: must be ≥ 0, got -1.0"]),
        ({"lrr": 1}, ["experiments.uci.lrr: unknown key; did you mean lr?"]),
        (
            {"parameterizer": {"name": "mlp", "hidden_sizes": [0]}},
            ["experiments.uci.parameterizer.hidden_sizes[0]: must be ≥ 1, got 0"],
        ),
        (
            {"tables": {"wine": {"num_concepts": 12, "num_classes": 3}}},
            [
                "experiments.uci.tables.wine.num_concepts: must be 13, the features, with the "
                "identity conceptizer, got 12"
            ],
        ),
        (
            {"tables": {"wine": {"num_concepts": 13, "num_classes": 3, "lambda_grid": [-1.0]}}},
            ["experiments.uci.tables.wine.lambda_grid[0]: must be ≥ 0, got -1.0"],
        ),
        (
            {"tables": {"wines": {}}},
            [
                "experiments.uci.tables: must be some of ionosphere, heart, diabetes, "
                'breast_cancer, yeast, abalone, wine, glass; did you mean wine?, got "wines"'
            ],
        ),
        (
            {"dataset": "mnist"},
            [
                "experiments.uci.dataset: must be a collection of tables (uci), of some `tables`, "
                'got "mnist"'
            ],
        ),
        *(
            (
                {"tables": wrong},
                [
                    "experiments.uci.tables: must have a section for some of ionosphere, heart, "
                    f"diabetes, breast_cancer, yeast, abalone, wine, glass, got {shown}"
                ],
            )
            for wrong, shown in (
                ({}, "{}"),
                (None, "null"),
                (["wine"], "['wine']"),
                ({"wine": 3}, "{'wine': 3}"),
            )
        ),
    ],
)
def test_a_problem_is_told_where_it_is_written(content, tmp_path, change, lines):
    content["experiments"]["uci"] |= change
    assert problems(content, tmp_path) == lines


def test_two_experiments_of_one_name(content, tmp_path):
    content["experiments"]["uci_wine"] = content["experiments"]["compas_senn"]
    line = 'experiments.uci.tables: must not make a second uci_wine, got "uci_wine"'
    assert problems(content, tmp_path) == [line]


def test_the_collection_must_be_downloaded(content, tmp_path):
    content["datasets"].remove("uci")
    content["explain"]["experiments"] = ["compas_senn", "uci_wine"]
    there = "compas, mnist_5k, reuters_r8"
    entries = "compas_senn, mnist_senn, mnist_disenn, uci"
    assert problems(content, tmp_path) == [
        f'experiments.uci.dataset: must be among datasets ({there}), got "uci/heart"',
        f'experiments.uci.dataset: must be among datasets ({there}), got "uci/wine"',
        f'explain.experiments[1]: must be among experiments ({entries}), got "uci_wine"',
    ]


def test_an_entry_named_with_a_dot_is_no_riddle(content, tmp_path):
    content["experiments"]["my.uci"] = {"dataset": "mnist", "tables": {"wine": {}}}
    assert any(line.startswith("experiments.my.uci") for line in problems(content, tmp_path))


def test_seeds_to_explain_are_bounded_by_the_experiments_explained(content, tmp_path):
    content["explain"] |= {"experiments": ["compas_senn"], "seeds": 3}
    content["experiments"]["uci"]["seeds"] = [1, 2]
    Params.model_validate(content)
    content["explain"]["experiments"].append("uci")
    words = "explain.seeds: must be ≤ 2, the number of seeds of uci_heart, got 3"
    assert problems(content, tmp_path) == [words]
