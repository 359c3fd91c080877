"""How the published numbers were made, as data, and where a run departs from it.

The review's runs as its checkpoints, logs and trainer show them (docs/published-code.md), not as
its configs say; `presets/paper.yaml` follows them. What cannot change a number is left out, such as
when dropout ends where there is none, and the probes of the review's loss on tables, which takes
one gradient without. Of the tables of UCI the paper says how they were trained.
"""

from collections.abc import Iterator
from typing import Any

from pipeline.core.params import Params

_LOSS = {"robustness.variant": "review2020", "robustness.reduction": "batch"}
_ALL = {"lr": 0.001, "select": "best_validation_accuracy", **_LOSS}
_MNIST = {**_ALL, "robustness.probes": "exact", "epochs": 5, "eval_freq": 100, "dropout": 0.5,
          "concept_reg": 1.0, "training_mode_until": "first_validation"}  # fmt: skip
_VAE = {"vae.objective": "review2020", "vae.target": "review2020", "pretrain.pretrain_epochs": 1}

PROTOCOLS: dict[str, dict[str, Any]] = {
    "compas_senn": {**_ALL, "epochs": 100, "eval_freq": 30, "dropout": 0.0, "batch_size": 200},
    "mnist_senn": {**_MNIST, "batch_size": 200, "conceptizer.decoder_shared": True},
    "uci_breast_cancer": {"robustness.variant": "authors2018", "lr": 0.0002, "dropout": 0.0},
    "mnist_disenn": {**_MNIST, "batch_size": 128, "beta": 4.0, **_VAE},
}
"""Per experiment, keys of params.yaml and their values; a key is of the experiment's section unless
it names another one."""


def deviations(params: Params, name: str) -> tuple[str, ...]:
    """Where experiment `name` departs from the published runs: ``epochs 7 instead of 5``.

    Empty for an experiment that has no published counterpart.
    """
    return tuple(
        f"{key} {here} instead of {_text(published)}"
        for key, published in PROTOCOLS.get(name, {}).items()
        for here in _differing(params, name, key, published)
    )


def _differing(params: Params, name: str, key: str, published: Any) -> Iterator[str]:
    """The run's value, unless it is the published one."""
    section, _, rest = key.rpartition(".")
    of_run = section in ("robustness", "vae", "pretrain")
    holder: Any = params if of_run else params.experiment(name)
    for part in filter(None, section.split(".")):
        holder = getattr(holder, part)
    here = getattr(holder, rest)
    if here != published:
        yield _text(here)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
