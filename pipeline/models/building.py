"""From params to modules."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch

from pipeline.core import params as p
from pipeline.core import params_choices as choice
from pipeline.core.dataset import Moments
from pipeline.core.errors import PipelineError
from pipeline.models.conceptizers import Conceptizer, VaeConceptizer
from pipeline.models.parameterizers import Parameterizer
from pipeline.models.senn import Senn


class Inputs(NamedTuple):
    """What a model must know of its inputs: `shape` of one, normalised as (raw - mean) / std."""

    shape: tuple[int, ...]
    mean: Moments
    std: Moments


def build_senn(
    name: str, experiment: p.Experiment, vae: p.Vae | None, inputs: Inputs, seed: int
) -> Senn:
    """The model of `experiment`, freshly initialised from `seed` alone, on the CPU.

    `vae` is for the vae conceptizer, and may be None with others.

    Raises
    ------
    PipelineError
        If the architecture does not fit the inputs; names the key in params.yaml.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        with _naming(f"{experiment.key(name)}.conceptizer"):
            conceptizer = _conceptizer(experiment, vae, inputs)
        with _naming(f"{experiment.key(name)}.parameterizer"):
            parameterizer = _parameterizer(experiment, inputs)
    return Senn(conceptizer, parameterizer)


def build_vae(vae: p.Vae, inputs: Inputs, seed: int) -> VaeConceptizer:
    """The β-VAE, freshly initialised from `seed` alone, on the CPU."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _vae(vae, inputs)


def _conceptizer(experiment: p.Experiment, vae: p.Vae | None, inputs: Inputs) -> Conceptizer:
    chosen = experiment.conceptizer
    if isinstance(chosen, choice.VaeConceptizer):
        assert vae is not None, "the vae conceptizer's architecture"
        return _vae(vae, inputs)
    build = choice.implementation(chosen.built_by)
    conceptizer: Conceptizer = build(inputs.shape, experiment.num_concepts, **chosen.settings())
    return conceptizer


def _vae(vae: p.Vae, inputs: Inputs) -> VaeConceptizer:
    shape, mean, std = inputs
    if isinstance(mean, tuple) or isinstance(std, tuple):
        raise PipelineError("a β-VAE needs data that are normalised as a whole, not by column")
    return VaeConceptizer(shape, vae.num_concepts, vae.hidden_sizes, vae.target, mean, std)


def _parameterizer(experiment: p.Experiment, inputs: Inputs) -> Parameterizer:
    chosen = experiment.parameterizer
    parameterizer: Parameterizer = choice.implementation(chosen.built_by)(
        inputs.shape,
        experiment.num_concepts,
        experiment.num_classes,
        dropout=experiment.dropout,
        **chosen.settings(),
    )
    return parameterizer


@contextmanager
def _naming(key: str) -> Iterator[None]:
    """Make an architecture's complaint that it does not fit one about `key` of params.yaml."""
    try:
        yield
    except ValueError as error:
        raise PipelineError(f"params.yaml: {key}: {error}") from error
