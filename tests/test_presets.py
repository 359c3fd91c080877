import pytest
import torch
from ruamel.yaml import YAML

from pipeline.core.params import Params, load_params
from pipeline.models.building import Inputs, build_senn
from tests.conftest import REPOSITORY

DEFAULT = REPOSITORY / "params.yaml"
PAPER = REPOSITORY / "presets" / "paper.yaml"
SMOKE = REPOSITORY / "presets" / "smoke.yaml"
EXPERIMENTS = {"compas_senn", "mnist_senn", "mnist_disenn"}
TEXTS = {DEFAULT: "reuters_senn", PAPER: "newsgroups_senn", SMOKE: "reuters_senn"}
TABLES = {  # shape of an input, classes
    "breast_cancer": ((30,), 2),
    "wine": ((13,), 3),
    "ionosphere": ((33,), 2),
    "heart": ((22,), 2),
    "diabetes": ((8,), 2),
    "yeast": ((8,), 10),
    "abalone": ((10,), 3),
    "glass": ((9,), 6),
}
OF_SMOKE = ("breast_cancer", "wine")
SHAPES = {"compas": ((11,), 2), "mnist_5k": ((1, 28, 28), 10), "mnist": ((1, 28, 28), 10)}
SHAPES |= {f"uci/{name}": shape for name, shape in TABLES.items()}
SHIPPED = [DEFAULT, *sorted((REPOSITORY / "presets").iterdir())]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_shipped_file_is_whole_and_valid(path):
    params = load_params(path)
    tables = {f"uci_{name}" for name in (OF_SMOKE if path == SMOKE else TABLES)}
    assert set(params.experiments) == EXPERIMENTS | tables | {TEXTS[path]}
    assert set(params.names_of("uci")) == tables
    texts = set() if path == PAPER else {TEXTS[path]}  # too many words to score all methods
    assert set(params.explain.experiments) == EXPERIMENTS | texts
    assert params.model_fields_set == set(Params.model_fields)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_shipped_models_fit_their_data(path):
    params = load_params(path)
    for name, experiment in params.experiments.items():
        texts = params.texts.input_shape
        shapes = SHAPES | {"reuters_r8": (texts, 8), "newsgroups": (texts, 20)}
        shape, classes = shapes[experiment.dataset]
        senn = build_senn(name, experiment, params.vae, Inputs(shape, 0.0, 1.0), seed=0)
        output = senn(torch.zeros(2, *shape))
        assert output.logits.shape == (2, classes)
        assert output.reconstruction.shape == (2, *shape)


@pytest.mark.parametrize("path", [DEFAULT, PAPER], ids=lambda path: path.name)
def test_default_and_paper_have_their_lambdas_and_three_seeds_or_forty(path):
    params, forty = load_params(path), (111, 333, 555, *range(1, 38))
    assert params.seeds_of("compas_senn") == params.study["compas_senn"].seeds == forty
    assert params.seeds_of("mnist_senn") == params.seeds_of("mnist_disenn") == (111, 333, 555)
    for name in EXPERIMENTS:
        quoted_without = (0.0,) if (path, name) == (PAPER, "mnist_senn") else ()
        published = (*quoted_without, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
        # A stand-in for MNIST decides nothing: the default has one λ fewer there.
        fewer = {"mnist_senn": 1e-3, "mnist_disenn": 1e-2} if path == DEFAULT else {}
        assert params.lambdas(name) == tuple(v for v in published if v != fewer.get(name))


@pytest.mark.parametrize("path", [DEFAULT, PAPER], ids=lambda path: path.name)
def test_tables_have_ten_seeds_and_their_grids_begin_at_zero(path):
    params = load_params(path)
    usual = (0.0, 1e-4, 1e-2, 1e-1, 1.0)
    for name in params.names_of("uci"):
        assert len(params.seeds_of(name)) == 10
        is_cancer = name == "uci_breast_cancer"
        assert params.lambdas(name) == (FIGURE_5B if is_cancer else usual)


FIGURE_5B = (0.0, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)


def test_default_needs_no_full_mnist():
    assert load_params(DEFAULT).datasets == ("compas", "mnist_5k", "uci", "reuters_r8")


PUBLISHED = {
    "robust_reg": 1e-4,
    "datasets": ("compas", "mnist", "uci", "newsgroups"),
    "robustness": {"variant": "review2020", "reduction": "batch", "probes": "exact"},
    "vae": {
        "num_concepts": 5,
        "hidden_sizes": (512, 256, 100),
        "objective": "review2020",
        "target": "review2020",
    },
    "pretrain": {
        "dataset": "mnist",
        "pretrain_epochs": 1,
        "pre_beta": 1.0,
        "lr": 1e-3,
        "batch_size": 128,
    },
}
PUBLISHED_EXPERIMENTS = {
    "compas_senn": {
        "dataset": "compas",
        "model_class": "SENN",
        "initial_weights": "pipeline/models/building.py",
        "conceptizer": {"name": "identity"},
        "parameterizer": {"name": "mlp", "hidden_sizes": (5, 5)},
        "aggregator": "sum",
        "num_concepts": 11,
        "num_classes": 2,
        "dropout": 0.0,
        "lr": 1e-3,
        "epochs": 100,
        "batch_size": 200,
        "eval_freq": 30,
        "select": "best_validation_accuracy",
        "training_mode_until": "first_validation",
        "concept_reg": 0.0,
        "sparsity_reg": 2e-5,
        "beta": None,
        "lambda_grid": None,
        "seeds": (111, 333, 555, *range(1, 38)),
    },
    "mnist_senn": {
        "dataset": "mnist",
        "model_class": "SENN",
        "initial_weights": "pipeline/models/building.py",
        "conceptizer": {
            "name": "conv",
            "channels": (10,),
            "kernel_size": 5,
            "decoder_channels": (16, 8),
            "decoder_shared": True,
        },
        "parameterizer": {
            "name": "conv",
            "channels": (10, 20),
            "kernel_size": 5,
            "hidden_sizes": (),
        },
        "aggregator": "sum",
        "num_concepts": 5,
        "num_classes": 10,
        "dropout": 0.5,
        "lr": 1e-3,
        "epochs": 5,
        "batch_size": 200,
        "eval_freq": 100,
        "select": "best_validation_accuracy",
        "training_mode_until": "first_validation",
        "concept_reg": 1.0,
        "sparsity_reg": 2e-5,
        "beta": None,
        "lambda_grid": (0.0, 1e-4, 1e-3, 1e-2, 1e-1, 1.0),
        "seeds": None,
    },
    "mnist_disenn": {
        "dataset": "mnist",
        "model_class": "DiSENN",
        "initial_weights": "models/vae",
        "conceptizer": {"name": "vae"},
        "parameterizer": {
            "name": "conv",
            "channels": (10, 20),
            "kernel_size": 5,
            "hidden_sizes": (),
        },
        "aggregator": "sum",
        "num_concepts": 5,
        "num_classes": 10,
        "dropout": 0.5,
        "lr": 1e-3,
        "epochs": 5,
        "batch_size": 128,
        "eval_freq": 100,
        "select": "best_validation_accuracy",
        "training_mode_until": "first_validation",
        "concept_reg": 1.0,
        "sparsity_reg": None,
        "beta": 4.0,
        "lambda_grid": None,
        "seeds": None,
    },
}


def test_paper_preset_is_what_was_run():
    params = load_params(PAPER).model_dump()
    assert {key: params[key] for key in PUBLISHED} == PUBLISHED
    of_others = ("uci", "newsgroups")
    reviewed = {n: e for n, e in params["experiments"].items() if not n.startswith(of_others)}
    assert all(experiment.pop("entry") is None for experiment in reviewed.values())
    assert reviewed == PUBLISHED_EXPERIMENTS
    tables = [e for n, e in params["experiments"].items() if n.startswith("uci")]
    for table in tables:
        assert table["parameterizer"] == {"name": "mlp", "hidden_sizes": (10, 5, 5)}
        assert table["conceptizer"] == {"name": "identity"}


def test_smoke_preset_is_small():
    params = load_params(SMOKE)
    assert params.datasets == ("compas", "mnist_5k", "uci", "reuters_r8")
    assert len(params.seeds) == 2
    assert all(params.lambdas(name) == (1e-4, 1e-2) for name in (*EXPERIMENTS, "reuters_senn"))
    assert params.lambdas("uci_breast_cancer") == (0.0, 1e-8, 1e-4, 1e-2)
    assert max(e.epochs for e in params.experiments.values()) <= 2
    assert params.pretrain.pretrain_epochs == 1


# Keys of the config template in the README of github.com/AmanDaVinci/SENN, and their home here.
NO_HOME = "no home: "
HOMES = {
    "exp_name": "experiments.mnist_disenn",
    "data_path": NO_HOME + "data/prepared/<dataset>, always",
    "model_class": "experiments.mnist_disenn.model_class",
    "pretrain_epochs": "pretrain.pretrain_epochs",
    "pre_beta": "pretrain.pre_beta",
    "beta": "experiments.mnist_disenn.beta",
    "train": NO_HOME + "stages that are up to date are not run again",
    "dataloader": "experiments.mnist_disenn.dataset",
    "conceptizer": "experiments.mnist_disenn.conceptizer.name",
    "parameterizer": "experiments.mnist_disenn.parameterizer.name",
    "aggregator": "experiments.mnist_disenn.aggregator",
    "image_size": NO_HOME + "the data's",
    "num_concepts": "experiments.mnist_disenn.num_concepts",
    "num_classes": "experiments.mnist_disenn.num_classes",
    "dropout": "experiments.mnist_disenn.dropout",
    "device": "device",
    "lr": "experiments.mnist_disenn.lr",
    "epochs": "experiments.mnist_disenn.epochs",
    "batch_size": "experiments.mnist_disenn.batch_size",
    "print_freq": NO_HOME + "a row of the curves per validation, see eval_freq",
    "eval_freq": "experiments.mnist_disenn.eval_freq",
    "robustness_loss": "robustness.variant",
    "robust_reg": "robust_reg",
    "concept_reg": "experiments.mnist_disenn.concept_reg",
    "sparsity_reg": "experiments.compas_senn.sparsity_reg",
    "manual_seed": "seeds",
    "accuracy_vs_lambda": "lambda_grid",
    "num_seeds": "seeds",
}


def test_every_key_of_the_reviews_config_has_a_home():
    content = YAML(typ="safe", pure=True).load(PAPER)
    for key, home in HOMES.items():
        if home.startswith(NO_HOME):
            continue
        section = content
        for part in home.split("."):
            assert part in section, f"{key}: {home}"
            section = section[part]
