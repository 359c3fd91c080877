"""What is timed: the published experiments, on made-up data of the published sizes.

A step costs the same whatever the pixels show, so nothing has to be downloaded.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pipeline.core.dataset import Prepared, Split, save_dataset
from pipeline.core.params import Params, load_params

REPOSITORY = Path(__file__).resolve().parents[1]
PAPER = REPOSITORY / "presets/paper.yaml"

COMPAS, MNIST = "compas_senn", "mnist_senn"
COMPAS_EXAMPLES = (3858, 429, 1072)  # train, valid, test
MNIST_VALID = 6000
# The batches of an epoch of MNIST are 270; the clock is read after fewer, see `stopwatch`.
MNIST_STEPS = {"cpu": 2, "cuda": 50}


@dataclass(frozen=True)
class Problem:
    """Experiment `name` of `params`, and the folder of its prepared data set."""

    params: Params
    name: str
    data: Path

    def with_probes(self, probes: str | int) -> "Problem":
        """The same with the robustness loss exact, or estimated by that many probes."""
        return Problem(changed(self.params, {"robustness.probes": probes}), self.name, self.data)


def compas(folder: Path) -> Problem:
    """COMPAS-SENN at its published settings; writes its data below `folder`."""
    generator = torch.Generator().manual_seed(0)

    def split(examples: int) -> Split:
        x = torch.rand(examples, 11, generator=generator)
        return Split(x, (x[:, 0] > x[:, 1]).long())

    data, features = folder / "compas", tuple(f"feature {i}" for i in range(11))
    train, valid, test = map(split, COMPAS_EXAMPLES)
    save_dataset(data, Prepared("compas", train, valid, test, features, ("low", "high")))
    return Problem(load_params(PAPER), COMPAS, data)


def mnist(folder: Path, device_type: str, classes: int = 10, concepts: int = 5) -> Problem:
    """MNIST-SENN at its published settings but for `classes` and `concepts`, and fewer batches."""
    generator = torch.Generator().manual_seed(0)
    changes = {"num_classes": classes, "num_concepts": concepts}
    params = changed(
        load_params(PAPER), {f"experiments.{MNIST}.{key}": n for key, n in changes.items()}
    )

    def split(examples: int) -> Split:
        shape = (examples, 1, 28, 28)
        x = torch.randint(256, shape, generator=generator, dtype=torch.uint8)
        return Split(x, torch.arange(examples) % classes)

    examples = MNIST_STEPS[device_type] * params.experiment(MNIST).batch_size
    train, valid, test = map(split, (examples, MNIST_VALID, classes))
    data, names = folder / f"mnist-{classes}", tuple(map(str, range(classes)))
    save_dataset(data, Prepared("mnist", train, valid, test, (), names, 0.1307, 0.3081))
    return Problem(params, MNIST, data)


def changed(params: Params, changes: dict[str, Any]) -> Params:
    """`params` with the values of dotted keys changed, and each section validated for itself.

    A problem made up has numbers of classes that no real dataset has.
    """
    for key, value in changes.items():
        params = _put(params, key.split("."), value)
    return params


def _put(section: Any, path: list[str], value: Any) -> Any:
    name, *rest = path
    if isinstance(section, dict):
        return section | {name: _put(section[name], rest, value)}
    if rest:
        return section.model_copy(update={name: _put(getattr(section, name), rest, value)})
    return type(section).model_validate(section.model_dump() | {name: value})
