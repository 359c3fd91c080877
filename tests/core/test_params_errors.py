import copy
import math
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from ruamel.yaml import YAML

from pipeline.core.params import Experiment, Params
from pipeline.core.params_errors import explain

PAPER = Path(__file__).resolve().parents[2] / "presets" / "paper.yaml"
MISSING = object()
CONTENT: dict[str, Any] = YAML(typ="safe", pure=True).load(PAPER)
WORDS = CONTENT["experiments"].pop("newsgroups_senn")
del CONTENT["experiments"]["uci"]  # see test_params_tables.py
del CONTENT["experiments"]["mnist_senn"]["lambda_grid"]  # which may be null
CONTENT["certify"]["experiments"].remove("uci_diabetes")
CONTENT["rivals"]["experiments"] = ["compas_senn", "mnist_senn"]
CONTENT["power"]["experiments"] = []


@pytest.fixture
def content() -> dict[str, Any]:
    """A valid file's content, to be broken."""
    return copy.deepcopy(CONTENT)


def explained(content: dict[str, Any]) -> list[str]:
    """What is wrong with `content`, as told to the user."""
    try:
        Params.model_validate(content)
    except ValidationError as error:
        return explain(error, Params)
    return []


def put(content: dict[str, Any], key: str, value: Any) -> None:
    """Set the value at a dotted key; `MISSING` removes it."""
    *path, last = key.split(".")
    for part in path:
        content = content[part]
    if value is MISSING:
        del content[last]
    else:
        content[last] = value


def leaves(content: dict[str, Any], prefix: str = "") -> list[str]:
    """Dotted keys of all values that are no sections."""
    keys = []
    for name, value in content.items():
        key = f"{prefix}{name}"
        keys += leaves(value, f"{key}.") if isinstance(value, dict) else [key]
    return keys


SENN, DISENN = "experiments.mnist_senn", "experiments.mnist_disenn"
COMPAS = "experiments.compas_senn"
CONV_KEYS = "name, channels, kernel_size, decoder_channels, decoder_shared"
BAD_NAME = "must be named with lowercase letters, digits and _, starting with a letter"
DEFAULTS = ("training_mode_until", "decoder_shared", "rounding_seeds", "select")
OPTIONAL = ("experiments.compas_senn.seeds",)
STUDY = {
    "variants": ["paper2018"],
    "reductions": ["batch"],
    "probes": "exact",
    "lambda_grid": [0.1, 1.0],
    "seeds": [1, 2],
    "anchors": 9,
    "rounding_seeds": 0,
}
WRONG_VALUES = [
    # numbers
    ("robust_reg", -1, "robust_reg: must be ≥ 0, got -1"),
    ("robust_reg", "1e-4", 'robust_reg: must be a number, got "1e-4"'),
    ("robust_reg", math.nan, "robust_reg: must be finite, got nan"),
    ("robust_reg", math.inf, "robust_reg: must be finite, got inf"),
    ("robust_reg", -math.inf, "robust_reg: must be finite, got -inf"),
    ("robust_reg", None, "robust_reg: must be a number, got null"),
    ("robust_reg", [0.1], "robust_reg: must be a number, got [0.1]"),
    ("robust_reg", MISSING, "robust_reg: is required"),
    (f"{SENN}.lr", True, f"{SENN}.lr: must be a number, got true"),
    (f"{SENN}.lr", 0, f"{SENN}.lr: must be > 0, got 0"),
    (f"{SENN}.lr", math.nan, f"{SENN}.lr: must be finite, got nan"),
    (f"{SENN}.epochs", 3.0, f"{SENN}.epochs: must be a whole number, got 3.0"),
    (f"{SENN}.epochs", "3", f'{SENN}.epochs: must be a whole number, got "3"'),
    (f"{SENN}.epochs", True, f"{SENN}.epochs: must be a whole number, got true"),
    (f"{SENN}.epochs", 0, f"{SENN}.epochs: must be ≥ 1, got 0"),
    (f"{SENN}.dropout", 1.0, f"{SENN}.dropout: must be < 1, got 1.0"),
    (f"{SENN}.dropout", -0.5, f"{SENN}.dropout: must be ≥ 0, got -0.5"),
    (f"{SENN}.num_classes", 1, f"{SENN}.num_classes: must be ≥ 2, got 1"),
    ("split_seed", 2**32, "split_seed: must be < 4294967296, got 4294967296"),
    ("evaluate.bootstrap", 99, "evaluate.bootstrap: must be ≥ 100, got 99"),
    # lists
    ("seeds", 5, "seeds: must be a list, got 5"),
    ("seeds", "111", 'seeds: must be a list, got "111"'),
    ("seeds", {"a": 1}, "seeds: must be a list, got {'a': 1}"),
    ("seeds", [], "seeds: must not be empty, got []"),
    ("seeds", [1.5], "seeds[0]: must be a whole number, got 1.5"),
    ("seeds", [111, "333"], 'seeds[1]: must be a whole number, got "333"'),
    ("seeds", [111, -1], "seeds[1]: must be ≥ 0, got -1"),
    ("seeds", [2**32], "seeds[0]: must be < 4294967296, got 4294967296"),
    ("seeds", [3, 1, 3, 1, 2], "seeds: must not repeat 3, 1, got [3, 1, 3, 1, 2]"),
    ("lambda_grid", [0.1, -1], "lambda_grid[1]: must be ≥ 0, got -1"),
    ("lambda_grid", [0.1, math.nan], "lambda_grid[1]: must be finite, got nan"),
    ("lambda_grid", [0.1, 1, 1.0], "lambda_grid: must not repeat 1.0, got [0.1, 1, 1.0]"),
    (
        "lambda_grid",
        [0.1, 0.10000001],
        "lambda_grid: must differ in the first 6 digits (0.1 and 0.10000001 would both be "
        "stored as lambda=0.1), got [0.1, 0.10000001]",
    ),
    (
        "robust_reg",
        0.10000001,
        "robust_reg: must equal the grid's 0.1 or differ from it in the first 6 digits "
        "(both would be stored as lambda=0.1), got 0.10000001",
    ),
    (
        f"{SENN}.lambda_grid",
        [0.2, 0.2],
        f"{SENN}.lambda_grid: must not repeat 0.2, got [0.2, 0.2]",
    ),
    ("datasets", [], "datasets: must not be empty, got []"),
    (
        "datasets",
        ["compas", "mnist", "mnist"],
        "datasets: must not repeat mnist, got ['compas', 'mnist', 'mnist']",
    ),
    (
        "datasets",
        ["compas", "minst"],
        "datasets[1]: must be compas, mnist_5k, mnist, uci, reuters_r8 or newsgroups, got "
        '"minst"; did you mean mnist?',
    ),
    (f"{SENN}.conceptizer.channels", [], f"{SENN}.conceptizer.channels: must not be empty, got []"),
    (
        f"{SENN}.conceptizer.channels",
        [8, 0],
        f"{SENN}.conceptizer.channels[1]: must be ≥ 1, got 0",
    ),
    (
        f"{SENN}.conceptizer.decoder_channels",
        [16],
        f"{SENN}.conceptizer.decoder_channels: must be a list of 2 whole numbers, got [16]",
    ),
    (
        f"{SENN}.conceptizer.decoder_channels",
        [16, 8, 4],
        f"{SENN}.conceptizer.decoder_channels: must be a list of 2 whole numbers, got [16, 8, 4]",
    ),
    (
        f"{SENN}.conceptizer.decoder_shared",
        "yes",
        f'{SENN}.conceptizer.decoder_shared: must be true or false, got "yes"',
    ),
    (
        f"{SENN}.conceptizer.decoder_shared",
        1,
        f"{SENN}.conceptizer.decoder_shared: must be true or false, got 1",
    ),
    # choices
    (
        f"{SENN}.training_mode_until",
        "first_epoch",
        f'{SENN}.training_mode_until: must be epoch_end or first_validation, got "first_epoch"',
    ),
    (
        f"{SENN}.training_mode_until",
        None,
        f"{SENN}.training_mode_until: must be epoch_end or first_validation, got null",
    ),
    (
        "robustness.variant",
        "review2021",
        "robustness.variant: must be paper2018, review2020 or authors2018, "
        'got "review2021"; did you mean review2020?',
    ),
    (
        "robustness.variant",
        2020,
        "robustness.variant: must be paper2018, review2020 or authors2018, got 2020",
    ),
    (f"{SENN}.aggregator", "mean", f'{SENN}.aggregator: must be sum, got "mean"'),
    *(
        (
            "robustness.probes",
            value,
            f"robustness.probes: must be exact or a whole number ≥ 1, got {shown}",
        )
        for value, shown in [(0, "0"), (1.0, "1.0"), (True, "true"), ("4", '"4"'), (None, "null")]
    ),
    *(
        ("device", value, f"device: must be auto, cpu, cuda or cuda:N, got {shown}")
        for value, shown in [
            ("gpu", '"gpu"'),
            ("cuda:x", '"cuda:x"'),
            ("cpu\n", '"cpu\\n"'),
            (0, "0"),
        ]
    ),
    (
        "compute.engine",
        "rey",
        'compute.engine: must be local or ray, got "rey"; did you mean ray?',
    ),
    ("compute.cores_per_task", 0, "compute.cores_per_task: must be ≥ 1, got 0"),
    ("compute.cores_per_task", 1.5, "compute.cores_per_task: must be a whole number, got 1.5"),
    # sections
    ("vae", None, "vae: must be a section of keys and values, got null"),
    ("experiments", [1], "experiments: must be a section of keys and values, got [1]"),
    ("experiments", {}, "experiments: must not be empty, got {}"),
    (SENN, 3, f"{SENN}: must be a section of keys and values, got 3"),
    ("evaluate", MISSING, "evaluate: is required"),
    (
        f"{SENN}.conceptizer",
        "conv",
        f'{SENN}.conceptizer: must be a section of keys and values, got "conv"',
    ),
    (f"{SENN}.conceptizer", {}, f"{SENN}.conceptizer.name: is required"),
    (
        f"{SENN}.conceptizer.name",
        "vea",
        f'{SENN}.conceptizer.name: must be identity, conv, vae or words, got "vea"; did you mean '
        "vae?",
    ),
    (
        f"{SENN}.parameterizer.name",
        5,
        f"{SENN}.parameterizer.name: must be mlp, conv or recurrent, got 5",
    ),
    (
        f"{SENN}.conceptizer.kernel_size",
        0,
        f"{SENN}.conceptizer.kernel_size: must be ≥ 1, got 0",
    ),
    (
        f"{SENN}.conceptizer.kernel_size",
        MISSING,
        f"{SENN}.conceptizer.kernel_size: is required",
    ),
    (
        f"{SENN}.parameterizer.hidden_sizes",
        [0],
        f"{SENN}.parameterizer.hidden_sizes[0]: must be ≥ 1, got 0",
    ),
    # unknown keys
    ("robust_regg", 0.1, "robust_regg: unknown key; did you mean robust_reg?"),
    ("train", {"engine": "ray"}, "train: unknown key; did you mean compute?"),
    (
        "compute.cores_per_bank",
        1,
        "compute.cores_per_bank: unknown key; did you mean cores_per_task?",
    ),
    ("vae.zzz", 1, "vae.zzz: unknown key; allowed: num_concepts, hidden_sizes, objective, target"),
    (f"{SENN}.epoch", 1, f"{SENN}.epoch: unknown key; did you mean epochs?"),
    (
        f"{SENN}.conceptizer.chanels",
        [10],
        f"{SENN}.conceptizer.chanels: unknown key; did you mean channels?",
    ),
    # keys with the same names as parts of pydantic's locations
    (
        f"{SENN}.conceptizer.conv",
        5,
        f"{SENN}.conceptizer.conv: unknown key; allowed: {CONV_KEYS}",
    ),
    (f"{SENN}.conceptizer.vae", 5, f"{SENN}.conceptizer.vae: unknown key; allowed: {CONV_KEYS}"),
    (
        f"{SENN}.[key]",
        5,
        f"{SENN}.[key]: unknown key; allowed: " + ", ".join(Experiment.model_fields),
    ),
    # how things fit together
    (
        "datasets",
        ["compas"],
        [
            'pretrain.dataset: must be among datasets (compas), got "mnist"',
            f'{SENN}.dataset: must be among datasets (compas), got "mnist"',
            f'{DISENN}.dataset: must be among datasets (compas), got "mnist"',
            'tokenizer.dataset: must be among datasets (compas), got "newsgroups"',
        ],
    ),
    (
        f"{SENN}.conceptizer",
        {"name": "vae"},
        f'{SENN}.model_class: must be DiSENN with the vae conceptizer, got "SENN"',
    ),
    (
        f"{DISENN}.conceptizer",
        {"name": "identity"},
        f'{DISENN}.model_class: must be SENN with the identity conceptizer, got "DiSENN"',
    ),
    (
        f"{SENN}.model_class",
        "Senn",
        f'{SENN}.model_class: must be SENN or DiSENN, got "Senn"; did you mean SENN?',
    ),
    (
        f"{SENN}.initial_weights",
        "models/vae",
        f"{SENN}.initial_weights: must be pipeline/models/building.py with model_class SENN, "
        'got "models/vae"',
    ),
    (
        f"{DISENN}.initial_weights",
        "pipeline/models/building.py",
        f"{DISENN}.initial_weights: must be models/vae with model_class DiSENN, "
        'got "pipeline/models/building.py"',
    ),
    (
        f"{SENN}.sparsity_reg",
        MISSING,
        f"{SENN}.sparsity_reg: must be given with model_class SENN, got null",
    ),
    (f"{SENN}.beta", 4.0, f"{SENN}.beta: must be left out with model_class SENN, got 4.0"),
    (f"{DISENN}.beta", MISSING, f"{DISENN}.beta: must be given with model_class DiSENN, got null"),
    (
        f"{DISENN}.sparsity_reg",
        0.1,
        f"{DISENN}.sparsity_reg: must be left out with model_class DiSENN, got 0.1",
    ),
    (
        f"{DISENN}.num_concepts",
        7,
        f"{DISENN}.num_concepts: must be vae.num_concepts, 5, with model_class DiSENN, got 7",
    ),
    (
        "study.mnist_sen",
        STUDY,
        "study.mnist_sen: must be the name of an experiment (compas_senn, mnist_senn, "
        'mnist_disenn), got "mnist_sen"',
    ),
    (
        "study.mnist_disenn",
        STUDY,
        "study.mnist_disenn: must be an experiment with model_class SENN, mnist_disenn has DiSENN, "
        'got "mnist_disenn"',
    ),
    (
        "study.compas_senn.seeds",
        [7],
        "study.compas_senn.seeds: must have at least 2 values, got [7]",
    ),
    (
        "study.compas_senn.lambda_grid",
        [0.0, 1.0],
        "study.compas_senn.lambda_grid[0]: must be > 0, got 0.0",
    ),
    (
        "study.compas_senn.variants",
        ["paper2018", "review"],
        "study.compas_senn.variants[1]: must be paper2018, review2020 or authors2018, "
        'got "review"; did you mean review2020?',
    ),
    # what data and models do not allow
    *(
        (
            f"{name}.num_classes",
            3,
            f"{name}.num_classes: must be {classes}, the classes of {dataset}, got 3",
        )
        for name, classes, dataset in ((COMPAS, 2, "compas"), (SENN, 10, "mnist"))
    ),
    (
        f"{COMPAS}.num_concepts",
        10,
        f"{COMPAS}.num_concepts: must be 11, the features, with the identity conceptizer, got 10",
    ),
    (
        f"{SENN}.conceptizer",
        {"name": "identity"},
        f"{SENN}.conceptizer.name: must be one for images, inputs have shape (1, 28, 28), got "
        '"identity"',
    ),
    (
        f"{COMPAS}.parameterizer",
        {"name": "conv", "channels": [4], "kernel_size": 3, "hidden_sizes": []},
        f'{COMPAS}.parameterizer.name: must be one for tables, inputs have shape (11,), got "conv"',
    ),
    (
        f"{COMPAS}.conceptizer",
        {"name": "conv", "channels": [4], "kernel_size": 5, "decoder_channels": [8, 4]},
        [
            f"{COMPAS}.conceptizer.name: must be one for tables, inputs have shape (11,), got "
            '"conv"',
            "robustness.variant: must be paper2018 or authors2018: on a table it needs the "
            'identity conceptizer, experiments.compas_senn has conv, got "review2020"',
            "study.compas_senn.variants: must not contain review2020: on a table it needs the "
            "identity conceptizer, experiments.compas_senn has conv, got ['paper2018', "
            "'review2020', 'authors2018']",
        ],
    ),
    (
        f"{SENN}.conceptizer",
        {"name": "words"},
        f"{SENN}.conceptizer.name: must be one for images, inputs have shape (1, 28, 28), got "
        '"words"',
    ),
    (
        f"{COMPAS}.parameterizer",
        {"name": "recurrent", "cell": "gru", "hidden_size": 4, "bidirectional": False},
        f"{COMPAS}.parameterizer.name: must be one for tables, inputs have shape (11,), got "
        '"recurrent"',
    ),
    (
        "experiments.news",
        WORDS | {"num_concepts": 9},
        "experiments.news.num_concepts: must be 100, texts.max_length, since every word is a "
        "concept, got 9",
    ),
    ("texts.max_length", 0, "texts.max_length: must be ≥ 1, got 0"),
    ("texts.max_lenght", 9, "texts.max_lenght: unknown key; did you mean max_length?"),
    ("texts", MISSING, "texts: is required"),
    *(
        (
            "experiments.news",
            WORDS | {key: value},
            f"experiments.news.{key}{part}: must be {what}, got {shown}",
        )
        for key, value, part, what, shown in (
            ("num_classes", 8, "", "20, the classes of newsgroups", "8"),
            (
                "conceptizer",
                {"name": "identity"},
                ".name",
                "one for texts, inputs have shape (100, 100)",
                '"identity"',
            ),
            (
                "parameterizer",
                WORDS["parameterizer"] | {"cell": "grü"},
                ".cell",
                "gru or lstm",
                '"grü"; did you mean gru?',
            ),
        )
    ),
    *(
        (
            f"{SENN}.{part}.kernel_size",
            value,
            f"{SENN}.{part}.kernel_size: must leave a pixel of 28 × 28 after 2 convolutions, each "
            f"followed by pooling by 2, got {value}",
        )
        for part in ("conceptizer", "parameterizer")
        for value in (10, 29)
    ),
    (
        f"{SENN}.conceptizer.kernel_size",
        3,
        f"{SENN}.conceptizer.kernel_size: must let the decoder rebuild 28 × 28 pixels from "
        "what 2 convolutions leave, it rebuilds 24 × 24, got 3",
    ),
    (
        f"{COMPAS}.parameterizer.hidden_sizes",
        [],
        f"{COMPAS}.dropout: must be 0 with parameterizer.hidden_sizes [], which leaves no units "
        "to drop, got 0.5",
    ),
    *(
        (
            f"{key}.batch_size",
            54_001,
            f"{key}.batch_size: must be ≤ 54000, the training examples of mnist, got 54001",
        )
        for key in ("pretrain", SENN)
    ),
    (
        "explain.seeds",
        4,
        "explain.seeds: must be ≤ 3, the number of seeds of mnist_senn, got 4",
    ),
    (
        "rivals.experiments",
        ["compas_senn", "uci_heart"],
        "rivals.experiments[1]: must be among experiments (compas_senn, mnist_senn, mnist_disenn), "
        'got "uci_heart"',
    ),
    (
        "power.experiments",
        ["compas_senn", "news"],
        [
            'power.experiments[0]: must be an experiment on texts, got "compas_senn"',
            "power.experiments[1]: must be among experiments (compas_senn, mnist_senn, "
            'mnist_disenn), got "news"',
        ],
    ),
    (
        "power.documents",
        59,
        "power.documents: must be ≥ 60, for halves with 30 neighbours, got 59",
    ),
    ("power.halves", 5, "power.halves: must be even, got 5"),
    ("tokenizer.characters", 7, "tokenizer.characters: must be even, got 7"),
    ("tokenizer.characters", 0, "tokenizer.characters: must be ≥ 2, got 0"),
    (
        "tokenizer.dataset",
        "compas",
        'tokenizer.dataset: must be reuters_r8 or newsgroups, got "compas"',
    ),
    (
        "rivals.lime_evaluations",
        9,
        "rivals.lime_evaluations: must be ≥ rounds, 10, got 9",
    ),
    (
        f"{SENN}.seeds",
        [],
        f"{SENN}.seeds: must not be empty, got []",
    ),
    (
        "experiments.mnist_disenn.seeds",
        [111, 333, 9],
        "experiments.mnist_disenn.seeds: must be among the top-level seeds, 111, 333, 555, with "
        "model_class DiSENN: those have a β-VAE, got [111, 333, 9]",
    ),
    (
        "experiments.vae",
        CONTENT["experiments"]["mnist_senn"],
        'experiments.vae: must have another name: models/vae is for the β-VAEs, got "vae"',
    ),
    (
        "pretrain.dataset",
        "compas",
        f'{DISENN}.dataset: must be pretrain.dataset, compas, with model_class DiSENN, got "mnist"',
    ),
]


@pytest.mark.parametrize(("key", "value", "lines"), WRONG_VALUES)
def test_wrong_value(content, key, value, lines):
    content["experiments"]["compas_senn"]["dropout"] = 0.5
    put(content, key, value)
    assert explained(content) == ([lines] if isinstance(lines, str) else lines)


def test_a_vae_is_for_data_that_are_normalised_as_a_whole(content):
    content["pretrain"] |= {"dataset": "uci/wine", "batch_size": 10}
    mlp = {"name": "mlp", "hidden_sizes": [5]}
    content["experiments"]["mnist_disenn"] |= {
        "dataset": "uci/wine",
        "num_classes": 3,
        "batch_size": 10,
        "parameterizer": mlp,
    }
    content["robustness"]["variant"] = "paper2018"
    assert explained(content) == [
        "pretrain.dataset: must be one that is normalised as a whole, not by column, for a β-VAE, "
        'got "uci/wine"'
    ]


def test_the_reviews_loss_takes_the_features_of_a_table_for_concepts(content):
    content["pretrain"]["dataset"] = "compas"
    mlp = {"name": "mlp", "hidden_sizes": [5]}
    content["experiments"]["mnist_disenn"] |= {
        "dataset": "compas",
        "num_classes": 2,
        "parameterizer": mlp,
    }
    words = "on a table it needs the identity conceptizer, experiments.mnist_disenn has vae"
    assert explained(content) == [
        f'robustness.variant: must be paper2018 or authors2018: {words}, got "review2020"'
    ]
    content["robustness"]["variant"] = "paper2018"
    assert explained(content) == []


@pytest.mark.parametrize("kernel_size", [5, 6])
def test_kernels_whose_decoder_fits(content, kernel_size):
    put(content, f"{SENN}.conceptizer.kernel_size", kernel_size)
    assert explained(content) == []


def test_key_that_is_no_text(content):
    content[5] = 1
    content["experiments"][7] = content["experiments"].pop("compas_senn")
    assert explained(content) == [
        f"experiments.7: {BAD_NAME}, got 7",
        "5: unknown key; allowed: " + ", ".join(Params.model_fields),
    ]


@pytest.mark.parametrize("name", ["MNIST", "../up", "5", "a b", "", "[key]"])
def test_name_of_an_experiment(content, name):
    content["experiments"][name] = content["experiments"].pop("compas_senn")
    assert explained(content) == [f'experiments.{name}: {BAD_NAME}, got "{name}"']


def test_whatever_a_value_is_replaced_by_its_own_key_is_named(content):
    replacements = [None, True, "text", "", 2.5, -1, math.nan, [], [[]], {}, {"name": 1}, MISSING]
    for key in leaves(content):
        for value in replacements:
            broken = copy.deepcopy(content)
            put(broken, key, value)
            lines = explained(broken)
            for line in lines:
                assert line.startswith((f"{key}: ", f"{key}[0]: ")), line
                assert ": must " in line or line.endswith(": is required"), line
            has_default = key.startswith("compute.") or key.endswith(DEFAULTS)
            left_out = value is MISSING and not has_default
            if key in OPTIONAL and value in (None, MISSING):
                assert not lines
            elif value is None or left_out or isinstance(value, dict):
                assert lines, (key, value)


def test_long_values_are_cut(content):
    content["robust_reg"] = "x" * 1000
    assert explained(content) == [f'robust_reg: must be a number, got "{"x" * 78}…']
