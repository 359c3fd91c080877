"""Files of weights, trained cells' among them.

A trained cell is one safetensors file whose metadata says everything needed to rebuild the model
and to know where it came from. No pickle.
"""

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from pipeline.core.errors import PipelineError
from pipeline.core.inputs import File
from pipeline.core.params import Experiment, Vae
from pipeline.core.tensors import read_tensors, to_bytes
from pipeline.models.building import Inputs, build_senn
from pipeline.models.senn import Senn


def weights_file(weights: dict[str, Tensor], metadata: dict[str, Any]) -> bytes:
    """The content of a file of weights; every value of `metadata` is stored as JSON."""
    return to_bytes(weights, {key: json.dumps(value) for key, value in metadata.items()})


def load_weights(file: Path | File) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `weights_file` made: weights on the CPU, and metadata.

    Raises
    ------
    PipelineError
        If the file is missing or damaged, or written by another program.
    """
    weights, text = read_tensors(file)
    try:
        return weights, {key: json.loads(value) for key, value in text.items()}
    except ValueError as error:
        raise _foreign(file, error) from error


def load_cell(file: Path | File) -> tuple[Senn, dict[str, Any]]:
    """Rebuild a trained model from its file alone: the model in evaluation mode, and its metadata.

    Raises
    ------
    PipelineError
        If the file is missing or damaged, or no cell of this version.
    """
    weights, metadata = load_weights(file)
    return rebuilt(file, weights, metadata), metadata


def rebuilt(file: Path | File, weights: dict[str, Tensor], metadata: dict[str, Any]) -> Senn:
    """The model with these weights, which `load_weights` read from `file`, in evaluation mode.

    Raises
    ------
    PipelineError
        If they are no cell's of this version.
    """
    try:
        params = metadata["params"]
        inputs = Inputs(tuple(metadata["input_shape"]), metadata["mean"], metadata["std"])
        senn = build_senn(
            metadata["experiment"],
            Experiment.model_validate(params["experiment"]),
            None if params["vae"] is None else Vae.model_validate(params["vae"]),
            inputs,
            metadata["seed"],
        )
        senn.load_state_dict(weights)
    except (KeyError, TypeError, ValueError, RuntimeError, PipelineError) as error:
        raise _foreign(file, error) from error
    return senn.eval().requires_grad_(False)


def _foreign(file: Path | File, error: Exception) -> PipelineError:
    reason = " ".join(str(error).split())  # torch's and pydantic's go over several lines
    return PipelineError(
        f"{file} was not written by this version: {reason}. Remove it and run `dvc repro`."
    )
