import json

import pytest
import safetensors.torch
import torch
from torch.testing import assert_close

from pipeline.core.errors import PipelineError
from pipeline.core.tensors import read_tensors, write_tensors
from pipeline.models.weights import load_cell
from tests.models.textbook import Textbook, same_weights
from tests.training.grids import ARCHITECTURES, EXPERIMENTS, SMOKE

METADATA = {"seed": 3, "params": {"β": [4.0, None]}, "valid_accuracy": 0.1 + 0.2, "on": True}


def cell_of(name: str, seed: int = 0):
    """A SENN of experiment `name`, and the metadata from which it can be rebuilt."""
    senn = ARCHITECTURES[name].senn(seed)
    shape = list(ARCHITECTURES[name].input_shape)
    experiment = SMOKE.experiments[name].model_dump(mode="json")
    params = {"experiment": experiment, "vae": SMOKE.vae.model_dump(mode="json")}
    return senn, {
        "experiment": name,
        "seed": 99,
        "params": params,
        "input_shape": shape,
        "mean": 0.1307,
        "std": 0.3081,
    }


def test_weights_and_metadata_round_trip(tmp_path):
    path = tmp_path / "a" / "b.safetensors"
    weights = {"z": torch.randn(3, 1, 2), "a": torch.randn(4), "scalar": torch.tensor(1.5)}
    write_tensors(path, weights, METADATA)
    loaded, metadata = read_tensors(path)
    assert metadata == METADATA
    assert loaded.keys() == weights.keys()
    assert all(torch.equal(loaded[name], value) for name, value in weights.items())


def test_equal_content_gives_equal_bytes(tmp_path):
    weights, contents = {"z": torch.randn(3, 2), "a": torch.randn(4)}, set()
    for number in range(4):
        path = tmp_path / f"{number}.safetensors"
        write_tensors(path, weights, METADATA)
        contents.add(path.read_bytes())
    assert len(contents) == 1


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_cell_is_rebuilt_from_its_file_alone(tmp_path, name):
    senn, metadata = cell_of(name, seed=5)
    write_tensors(tmp_path / "cell.safetensors", senn.state_dict(), metadata)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    loaded, about = load_cell(tmp_path / "cell.safetensors")
    assert torch.equal(torch.get_rng_state(), before)
    assert about == metadata
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    x = torch.randn(4, *metadata["input_shape"])
    textbook = same_weights(senn, Textbook(ARCHITECTURES[name]))
    assert_close(loaded(x)[:4], textbook(x)[:4])


def test_a_cell_that_is_not_there(tmp_path):
    path = tmp_path / "cell.safetensors"
    with pytest.raises(PipelineError, match=rf"{path}.*`dvc repro`"):
        load_cell(path)


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "header"])
def test_a_damaged_file(tmp_path, damage):
    senn, metadata = cell_of("compas_senn")
    path = tmp_path / "cell.safetensors"
    write_tensors(path, senn.state_dict(), metadata)
    content = path.read_bytes()
    damaged = {
        "truncated": content[:-4],
        "empty": b"",
        "text": b"seed: 3\n" * 20,
        "header": content[:8] + b"[" + content[9:],
    }
    path.write_bytes(damaged[damage])
    with pytest.raises(PipelineError, match=str(path)):
        load_cell(path)
    with pytest.raises(PipelineError, match=str(path)):
        read_tensors(path)


def without(metadata: dict, key: str) -> dict:
    return {name: value for name, value in metadata.items() if name != key}


FOREIGN_FILE = "^{} was not written by this version: .*`dvc repro`"
FOREIGN = {
    "no experiment": lambda m: without(m, "experiment"),
    "no params": lambda m: without(m, "params"),
    "no input shape": lambda m: without(m, "input_shape"),
    "no params of the experiment": lambda m: {**m, "params": {}},
    "params that are none": lambda m: {**m, "params": "paper.yaml"},
    "unknown params": lambda m: {
        **m,
        "params": {**m["params"], "experiment": {**m["params"]["experiment"], "depth": 3}},
    },
    "an input shape that is none": lambda m: {**m, "input_shape": 11},
    "another input shape": lambda m: {**m, "input_shape": [10]},
    "a seed that is none": lambda m: {**m, "seed": "three"},
}


@pytest.mark.parametrize("change", FOREIGN.values(), ids=FOREIGN.keys())
def test_a_file_whose_metadata_are_no_cells(tmp_path, change):
    senn, metadata = cell_of("compas_senn")
    path = tmp_path / "cell.safetensors"
    write_tensors(path, senn.state_dict(), change(metadata))
    with pytest.raises(
        PipelineError, match=rf"{path} was not written by this version.*`dvc repro`"
    ):
        load_cell(path)


def test_a_file_with_weights_of_another_model(tmp_path):
    senn, metadata = cell_of("compas_senn")
    path = tmp_path / "cell.safetensors"
    name, value = next(iter(senn.state_dict().items()))
    rest = {key: v for key, v in senn.state_dict().items() if key != name}
    more = {**senn.state_dict(), "more": torch.ones(3)}
    for weights in ({}, rest, {**rest, name: value[:-1]}, more):
        write_tensors(path, weights, metadata)
        with pytest.raises(PipelineError, match=FOREIGN_FILE.format(path)):
            load_cell(path)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"seed": "3", "params": "{"}])
def test_a_file_that_another_program_wrote(tmp_path, metadata):
    path = tmp_path / "cell.safetensors"
    safetensors.torch.save_file({"weight": torch.ones(2)}, path, metadata)
    with pytest.raises(
        PipelineError, match=rf"{path} was not written by this version.*`dvc repro`"
    ):
        load_cell(path)


def test_metadata_are_readable_by_other_programs(tmp_path):
    write_tensors(tmp_path / "cell.safetensors", {"a": torch.ones(2)}, METADATA)
    with safetensors.safe_open(tmp_path / "cell.safetensors", "pt") as file:
        assert {key: json.loads(value) for key, value in file.metadata().items()} == METADATA
