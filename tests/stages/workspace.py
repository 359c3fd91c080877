"""A folder in which stages can run: a table like COMPAS, and models that are not trained."""

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import yaml

from benchmarks.measure import of_what_there_is
from pipeline.core.cells import grid
from pipeline.core.dataset import Prepared, Split, save_dataset
from pipeline.core.params import Params, load_params
from pipeline.core.tensors import write_tensors
from pipeline.models.building import Inputs, build_senn
from tests.conftest import REPOSITORY


def prepare_table(test_examples: int) -> None:
    """In the current folder: random features, classes by their sum, as prepared COMPAS."""
    generator = torch.Generator().manual_seed(0)

    def split(size: int) -> Split:
        x = torch.rand(size, 11, generator=generator)
        return Split(x, (x.sum(1) > 5.5).long())

    names = tuple(f"feature {i}" for i in range(11))
    splits = (split(90), split(20), split(test_examples))
    save_dataset(Path("data/prepared/compas"), Prepared("compas", *splits, names, ("Low", "High")))


def untrained_compas(changes: dict, test_examples: int) -> Params:
    """In the current folder: params.yaml, `prepare_table`, and every cell of its grid.

    The params are the smoke preset's for COMPAS alone, with `changes` to its sections.
    """
    content = yaml.safe_load((REPOSITORY / "presets/smoke.yaml").read_text())
    content["experiments"] = {"compas_senn": content["experiments"]["compas_senn"]}
    content = of_what_there_is(content)
    for key, value in changes.items():
        content[key] = content[key] | value if isinstance(value, dict) else value
    Path("params.yaml").write_text(yaml.safe_dump(content))

    prepare_table(test_examples)

    params = load_params(Path("params.yaml"))
    experiment = params.experiment("compas_senn")
    metadata = {
        "experiment": "compas_senn",
        "params": {
            "experiment": experiment.model_dump(mode="json"),
            "vae": params.vae.model_dump(mode="json"),
        },
        "input_shape": [11],
        "mean": 0.0,
        "std": 1.0,
        "step": 1,
        "valid_accuracy": 0.75,
        "curve": [{"valid_accuracy": 0.5, "valid_classification": 0.69}],
    }
    for cell in grid(params, "compas_senn"):
        inputs = Inputs((11,), 0.0, 1.0)
        model = build_senn("compas_senn", experiment, params.vae, inputs, cell.seed)
        path = cell.path(Path("models"))
        write_tensors(path, model.state_dict(), metadata | {"seed": cell.seed})
    return params


def tiny(params: dict[str, Any], table: str) -> dict[str, Any]:
    """`params` with next to nothing to compute, and with one experiment, on a `table`."""
    params = copy.deepcopy(params)
    for section in ("experiments", "study"):
        params[section] = {table: params[section][table]}
    params["evaluate"] |= {"anchors": 5, "lipschitz_local_steps": 1, "bootstrap": 100}
    params["explain"] |= {"examples": 4, "curve_steps": 2, "experiments": [table]}
    params["certify"] |= {"experiments": [table]}
    params["power"] |= {"experiments": []}
    params["rivals"] |= {"experiments": [table], "anchors": 3, "evaluations": 4}
    params["tokenizer"] |= {"seeds": [1], "documents": 30, "examples": 2}
    params["study"][table] |= {"anchors": 2}
    params["report"] = {"explanations": 1, "prototypes": 1}
    return params


def forwards_then_backwards() -> Callable[..., Iterator[Any]]:
    """`run_side_by_side` in this process: in order the first time, in reverse the second."""
    orders = iter((list, lambda indices: indices[::-1]))

    def one_after_another(work: Any, tasks: Any, device: Any, report: Any) -> Iterator[Any]:
        for index in next(orders)(range(len(tasks))):
            yield index, work(tasks[index], lambda *_: None)

    return one_after_another
