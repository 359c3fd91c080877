"""Trained cells, rebuilt: each is one file of tensors, and its metadata say all that takes."""

from pathlib import Path
from typing import Any

from torch import Tensor

from pipeline.core.errors import PipelineError
from pipeline.core.files import File
from pipeline.core.params import Experiment, Vae
from pipeline.core.tensors import foreign, read_tensors
from pipeline.models.building import Inputs, build_senn
from pipeline.models.senn import Senn


def load_cell(file: Path | File) -> tuple[Senn, dict[str, Any]]:
    """Rebuild a trained model from its file alone: the model in evaluation mode, and its metadata.

    Raises
    ------
    PipelineError
        If the file is missing or damaged, or no cell of this version.
    """
    weights, metadata = read_tensors(file)
    return rebuilt(file, weights, metadata), metadata


def rebuilt(file: Path | File, weights: dict[str, Tensor], metadata: dict[str, Any]) -> Senn:
    """The model with these weights, which `read_tensors` read from `file`, in evaluation mode.

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
        raise foreign(file, error) from error
    return senn.eval().requires_grad_(False)
