"""A finished run in small: synthetic data, untrained models, made-up metrics, real layout."""

import copy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml

from pipeline.core.cells import grid
from pipeline.core.dataset import Dataset, Prepared, Split, load_dataset, save_dataset
from pipeline.core.kinds import Kind
from pipeline.core.params import Params, load_params
from pipeline.core.params_choices import DATASETS
from pipeline.core.tensors import write_tensors
from pipeline.data.texts import RESERVED
from pipeline.explanations.methods import METHODS, methods_on
from pipeline.metrics.scores import CURVES, SCORES
from pipeline.metrics.word_power import NO_MODEL, SPACES, power_table
from pipeline.models.building import Inputs, build_senn, build_vae
from pipeline.rivals.methods import rivals_for
from pipeline.rivals.tables import table
from pipeline.study.definitions import definitions
from pipeline.study.run import MEASURES
from pipeline.tokenizer.run import Measured, tokenizer_table
from tests.conftest import REPOSITORY

METRICS = {
    "lipschitz_discrete": 3.0,
    "lipschitz_local": 5.0,
    "lipschitz_input_lower": 4.0,
    "lipschitz_input_exact": 5.0,
    "lipschitz_input_certified": 9.0,
    "faithfulness_relevance": 0.3,
    "faithfulness_contribution": 0.7,
    "robustness_loss": 2.0,
    "reconstruction_mse": 0.8,
    "concept_correlation": 0.4,
    "concept_sparsity": 0.2,
    "cross_entropy": 0.5,
    "cross_entropy_ratio": 0.7,
    "balanced_accuracy": 0.6,
    "commonest_share": 0.65,
    "selection_gain": 0.1,
}
TEXT_SHAPE = 6, 4
_ABOUT = {"step": 30, "torch": "9.9.9", "device": "a device", "code": "c0de" * 16}


def default_params() -> dict[str, Any]:
    """The repository's params.yaml, with two seeds, two λ, small networks, and a study of MNIST."""
    return copy.deepcopy(_default_params())


@cache
def _default_params() -> dict[str, Any]:
    params = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
    params |= {"robust_reg": 0.01, "lambda_grid": [0.01, 1.0], "seeds": [5, 6]}
    for experiment in params["experiments"].values():
        experiment.pop("lambda_grid", None), experiment.pop("seeds", None)
    paper = yaml.safe_load((REPOSITORY / "presets/paper.yaml").read_text(encoding="utf-8"))
    params["study"]["mnist_senn"] = paper["study"]["mnist_senn"]
    length, size = TEXT_SHAPE
    params["texts"] |= {"max_length": length, "embedding_size": size}
    words = params["experiments"]["reuters_senn"]
    words["num_concepts"] = length
    uci = params["experiments"]["uci"]
    uci["tables"] = {name: uci["tables"][name] for name in ("breast_cancer", "wine")}
    uci["tables"]["breast_cancer"]["lambda_grid"] = [0.0, 1.0]
    params["vae"]["hidden_sizes"] = [20]
    params["certify"]["experiments"] = ["compas_senn", "mnist_senn", "mnist_disenn"]
    params["certify"]["seeds"] = params["attack"]["seeds"] = 1
    params["attack"]["steps"] = 2
    params["report"] = {"explanations": 2, "prototypes": 3}
    params["rivals"] |= {"robust_reg": 0.01, "seeds": 2, "anchors": 7, "image_anchors": 3}
    params["rivals"]["experiments"] = ["compas_senn", "mnist_senn"]
    for study in params["study"].values():
        study |= {"lambda_grid": [0.0001, 1.0], "seeds": [5, 6]}
    return params


def make_workspace(folder: Path, params: dict[str, Any]) -> None:
    """Fill `folder` with what stages.report reads, for `params`."""
    params = copy.deepcopy(params)
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    (folder / "reports").mkdir()
    template = (REPOSITORY / "reports/template.ipynb").read_bytes()
    (folder / "reports/template.ipynb").write_bytes(template)
    validated = load_params(folder / "params.yaml")
    data = {}
    alone = [name for name in validated.datasets if name in DATASETS]
    of_experiments = [experiment.dataset for experiment in validated.experiments.values()]
    for name in dict.fromkeys([*alone, *of_experiments]):
        prepared = folder / "data/prepared" / name
        make = {"tables": _table, "texts": _texts, "images": _images}[DATASETS[name].kind]
        save_dataset(prepared, make(name))
        data[name] = load_dataset(prepared)
    for name, experiment in validated.experiments.items():
        _experiment(folder, validated, name, data[experiment.dataset])
    for name in validated.compared():
        _rivals(folder, validated, name, data[validated.experiments[name].dataset])
    for name in validated.study:
        _study(folder, validated, name)
    _power(folder, validated)
    _tokenizer(folder, validated)
    _pretraining(folder, validated, data[validated.pretrain.dataset])


def _power(folder: Path, params: Params) -> None:
    """LRP-ε leads all weights that know no model."""
    measured = {
        name: {
            weights: [
                dict.fromkeys(SPACES, [0.9 - 0.1 * place + 0.01 * (index % 3)] * 40)
                for index in range(2)
            ]
            for place, weights in enumerate(("lrp_epsilon", "squared_sensitivity", *NO_MODEL))
        }
        for name in params.power.experiments
    }
    table = power_table(measured, resamples=100)
    _write(folder / "reports/text/power.csv", table.to_dict("records") or [{"experiment": ""}])


def _tokenizer(folder: Path, params: Params) -> None:
    """Relevance that halves with every character."""
    half = params.tokenizer.characters // 2
    relevance = np.exp2([*range(-half, 0), *range(-1, -half - 1, -1)]).repeat(20).reshape(-1, 20).T
    measured = [Measured(np.full(20, f1), relevance) for f1 in (0.8, 0.9)]
    table = tokenizer_table(measured, resamples=100).assign(dataset=params.tokenizer.dataset)
    path = folder / "reports/text/tokenizer.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False)


def _table(name: str) -> Prepared:
    """Random features in tenths; classes by turns. Columns of a collection have their own scale."""
    generator, facts = torch.Generator().manual_seed(1), DATASETS[name]
    (columns,) = facts.input_shape

    def split(count: int) -> Split:
        x = torch.rand(count, columns, generator=generator).round(decimals=1)
        return Split(x, torch.arange(count) % facts.classes)

    features = tuple(f"Feature_{chr(ord('A') + index)}" for index in range(columns))
    classes = ("Low", "Medium or High", "Very High")[: facts.classes]
    splits = split(60), split(20), split(40)
    if name == "compas":
        return Prepared(name, *splits, features, classes)
    return Prepared(name, *splits, features, classes, (0.5,) * columns, (0.3,) * columns)


def _texts(name: str) -> Prepared:
    """Nine words and unknown ones at random, in texts of two and more; classes by turns."""
    generator, facts = torch.Generator().manual_seed(1), DATASETS[name]
    length, size = TEXT_SHAPE

    def split(count: int) -> Split:
        words = torch.randint(1, 11, (count, length), generator=generator)
        lengths = torch.randint(2, length + 1, (count, 1), generator=generator)
        return Split(words.where(torch.arange(length) < lengths, 0), torch.arange(count) % 8)

    embeddings = torch.randn(11, size, generator=generator)
    embeddings[0] = 0
    vocabulary = (*RESERVED, *(f"word{chr(ord('a') + index)}" for index in range(9)))
    classes = tuple(f"topic {index}" for index in range(facts.classes))
    splits = split(60), split(20), split(40)
    about = {"vocabulary": vocabulary, "embeddings": embeddings}
    return Prepared(name, *splits, (), classes, **about)


def _images(name: str) -> Prepared:
    """Ten blurry shapes, a class each, with noise."""
    generator = torch.Generator().manual_seed(2)
    shapes = torch.rand(10, 1, 7, 7, generator=generator).gt(0.6).float()
    shapes = torch.nn.functional.interpolate(shapes, scale_factor=4, mode="bilinear")

    def split(count: int) -> Split:
        y = (torch.arange(count) % 10).sort().values
        noise = 0.1 * torch.rand(count, 1, 28, 28, generator=generator)
        x = (200 * (shapes[y] + noise).clamp(0, 1)).to(torch.uint8)
        return Split(x, y)

    digits = tuple(str(digit) for digit in range(10))
    return Prepared(name, split(80), split(20), split(50), (), digits, 0.1307, 0.3081)


def _experiment(folder: Path, params: Params, name: str, data: Dataset) -> None:
    experiment, inputs = params.experiments[name], Inputs(data.input_shape, data.mean, data.std)
    rows, curves = [], []
    for index, cell in enumerate(grid(params, name)):
        model = build_senn(name, experiment, params.vae, inputs, cell.seed)
        about = {
            **_ABOUT,
            "experiment": name,
            "robust_reg": cell.robust_reg,
            "seed": cell.seed,
            "params": {
                "experiment": experiment.model_dump(mode="json"),
                "vae": params.vae.model_dump(mode="json"),
            },
            "input_shape": list(data.input_shape),
            "mean": data.mean,
            "std": data.std,
            "data": data.digest,
        }
        models = folder / "models" / params.group_of(name)
        write_tensors(cell.path(models), model.state_dict(), about)
        key = {"experiment": name, "robust_reg": cell.robust_reg, "seed": cell.seed}
        accuracy = 0.81 - 0.01 * index
        interval = {"accuracy_low": accuracy - 0.02, "accuracy_high": accuracy + 0.02}
        scattered = {metric: value + 0.01 * index for metric, value in METRICS.items()}
        collapsed = {"collapsed": int(cell.robust_reg >= 0.5), "selected_step": 30}
        linear = {"linear_accuracy": 0.55} if model.conceptizer.are_inputs else {}
        rows.append({**key, "accuracy": accuracy, **interval, **scattered, **collapsed, **linear})
        losses = ("train_total", "train_classification", "train_robustness", "train_concept")
        for step in (10, 20, 30):
            validated = {"valid_classification": 1 / step, "valid_accuracy": accuracy - 1 / step}
            trained = dict.fromkeys(losses, 1 / step)
            curves.append({**key, "step": step, "epoch": step // 10, **trained, **validated})
    entry = params.entry_of(name)
    _write(folder / "reports/cells" / f"{entry}.csv", rows)
    _write(folder / "reports/curves" / f"{entry}.csv", curves)
    if name in params.explain.experiments:
        _methods(folder, name, data.kind)
    _worst_case(folder, params, name, data.kind == "images")


def _worst_case(folder: Path, params: Params, name: str, has_images: bool) -> None:
    """Bounds that grow with the radius by 1, 2, 3, …; what attacks move, too."""
    certify, rows = params.certify, []
    (folder / "reports/worst_case").mkdir(exist_ok=True)
    bounds = {"anchor": 1.0, "found": 1.0, "certified": 2.0, "intervals": 3.0,
              "certified_ratio": 1.5, "intervals_ratio": 2.5}  # fmt: skip
    moved = {"concepts_between": 1.0, "concepts_within": 2.0,
             "relevances_between": 0.1, "relevances_within": 0.2}  # fmt: skip
    measures, radii = {}, {"certify": certify.image_radii if has_images else certify.table_radii}
    if name in certify.experiments:
        measures["certify"] = bounds if has_images else bounds | {"exact": 1.5}
    if has_images:
        measures["attack"], radii["attack"] = moved, params.attack.radii
    for measure, quantities in measures.items():
        for quantity, value in quantities.items():
            for index, radius in enumerate(radii[measure]):
                here = value * (index + 1)
                interval = {"value": here, "value_low": 0.9 * here, "value_high": 1.1 * here}
                rows.append(
                    {
                        "experiment": name,
                        "measure": measure,
                        "quantity": quantity,
                        "radius": radius,
                        **interval,
                        "undefined": 0,
                        "seeds": 2,
                        "examples": 24,
                    }
                )
    path = folder / "reports/worst_case" / f"{params.entry_of(name)}.csv"
    _write(path, rows) if rows else path.write_text("experiment,measure,quantity,radius,value\n")


def _methods(folder: Path, name: str, kind: Kind) -> None:
    """Scores and curves of every method, better from each to the next."""
    rows, points = [], []
    undefined = {"lipschitz_discrete"} if kind == "texts" else set()
    for index, method in enumerate(methods_on(kind).values()):
        examples = 5 if method.is_costly else 50
        about = {"method": method.name, "label": method.label, "family": method.family}
        row = {
            "experiment": name,
            **about,
            "speaks_of": method.speaks_of,
            "by_removal": method.by_removal,
            "seeds": 1,
            "examples": examples,
        }
        for score in SCORES.values():
            if score.name in undefined:
                ends = (score.name, f"{score.name}_low", f"{score.name}_high")
                row |= dict.fromkeys(ends, np.nan) | {f"{score.name}_undefined": examples}
                continue
            value = 0.1 + 0.03 * (index if score.best == "high" else len(METHODS) - index)
            row |= {score.name: value, f"{score.name}_undefined": 0}
            row |= {f"{score.name}_low": value - 0.01, f"{score.name}_high": value + 0.01}
        rows.append(row)
        about = {"experiment": name, "method": method.name, "label": method.label}
        for curve in CURVES:
            for position in (0.0, 0.5, 1.0):
                value = 0.9 - (0.5 + 0.01 * index) * position
                points.append({**about, "curve": curve, "position": position, "value": value})
    _write(folder / "reports/methods" / f"{name}.csv", rows)
    _write(folder / "reports/methods_curves" / f"{name}.csv", points)


def _rivals(folder: Path, params: Params, name: str, data: Dataset) -> None:
    """Ratios and correlations at random, the same for all methods but for a factor."""
    measured = {}
    for place, (method, rival) in enumerate(rivals_for(data.kind == "images").items(), start=1):
        measured[method] = []
        for seed in params.seeds_of(name)[: params.rivals.seeds]:
            generator = np.random.default_rng(seed)
            settings = ("paper", "fair", *(["gradient"] if rival.differentiable else []))
            values = {f"local/{one}": place * generator.lognormal(size=7) for one in settings}
            if data.kind == "tables":
                for one in ("paper", "fair"):
                    values[f"discrete/{one}"] = place * generator.lognormal(size=9)
            for one in ("paper", "fair"):
                values[f"faithfulness/{one}"] = generator.uniform(-1, 1, 7)
            measured[method].append({"length/": np.ones(1), **values})
    rows = table(measured, 100)
    rows.insert(0, "experiment", name)
    _write(folder / "reports/rivals" / f"{name}.csv", rows.to_dict("records"))


def _study(folder: Path, params: Params, name: str) -> None:
    """Every definition loses accuracy in its own way; the seeds differ a little."""
    rows, study = [], params.study[name]
    references = {"majority_accuracy": 0.5}
    if params.experiments[name].conceptizer.name == "identity":
        references |= {"linear_accuracy": 0.77, "constant_from_batch": 0.1}
    for place, definition in enumerate(definitions(study)):
        for step, robust_reg in enumerate(study.lambda_grid):
            for seed in study.seeds:
                accuracy = 0.8 - 0.01 * step * (1 + place) + 0.001 * (seed % 3)
                measured = {measure: 3.0 / (1 + step + place) for measure in MEASURES}
                measured |= {"collapsed": 0, "accuracy": accuracy, "accuracy_low": accuracy - 0.02}
                measured |= {"accuracy_high": accuracy + 0.02}
                key = {"experiment": name, **definition._asdict(), "robust_reg": robust_reg}
                rows.append({**key, "seed": seed, **measured, **references})
    _write(folder / "reports/study" / f"{name}.csv", rows)
    roundings = [
        {"experiment": name, "robust_reg": robust_reg, "seed": seed, "accuracy": 0.7 + seed / 100,
         "accuracy_jittered": 0.72 + seed / 100}
        for robust_reg in study.lambda_grid
        for seed in study.seeds
    ]  # fmt: skip
    _write(folder / "reports/roundings" / f"{name}.csv", roundings)


def _pretraining(folder: Path, params: Params, data: Dataset) -> None:
    inputs = Inputs(data.input_shape, data.mean, data.std)
    rows = []
    for seed in params.seeds:
        vae = build_vae(params.vae, inputs, seed)
        about = {
            **_ABOUT,
            "seed": seed,
            "params": {"vae": params.vae.model_dump(mode="json")},
            "input_shape": list(data.input_shape),
            "mean": data.mean,
            "std": data.std,
            "data": data.digest,
        }
        write_tensors(folder / "models/vae" / f"seed={seed}.safetensors", vae.state_dict(), about)
        rows += [
            {"seed": seed, "epoch": epoch, "train_loss": 1 / epoch, "valid_loss": 1.1 / epoch}
            for epoch in (1, 2)
        ]
    _write(folder / "reports/curves/vae.csv", rows)


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    """Add rows to those that other experiments of the same entry have there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table, is_new = pd.DataFrame(rows).replace({None: np.nan}), not path.exists()
    table.to_csv(path, index=False, mode="w" if is_new else "a", header=is_new)
