"""Trained models as files that need nothing beside them: a cell's file, and what is in `Facts`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import Tensor

from pipeline.core.dataset import TABLE_NAME, load_dataset
from pipeline.core.errors import PipelineError
from pipeline.core.files import File, write_bytes
from pipeline.core.kinds import Kind, kind_of
from pipeline.core.tensors import read_tensors, to_bytes
from pipeline.models.senn import Senn
from pipeline.models.weights import load_cell, rebuilt
from pipeline.sharing.facts import Facts, facts_of

LEFT_OUT = {"curve"}  # metadata that only the report reads: most of a small model's file
EMBEDDINGS = "embeddings"  # beside the weights


@dataclass(frozen=True)
class Shared:
    """A trained model in evaluation mode, the metadata of its file, and its facts.

    For texts also `embeddings`, a vector for each word of the vocabulary, (words, D).
    """

    senn: Senn
    about: dict[str, Any]
    facts: Facts
    embeddings: Tensor | None = None

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(features,) of a table, (words, D) of a text, or (channels, height, width)."""
        return tuple(self.about["input_shape"])

    @property
    def kind(self) -> Kind:
        """What its inputs are: tables, texts or images."""
        return kind_of(self.input_shape)

    def __str__(self) -> str:
        chosen = self.about["params"]["experiment"]
        return (
            f"{self.about['experiment']}: {chosen['model_class']} on {chosen['dataset']}, "
            f"λ = {self.about['robust_reg']:g}, seed {self.about['seed']}"
        )


def share(cell: Path, prepared: Path, target: Path) -> Shared:
    """Write to `target` the model of file `cell`, which was trained on the dataset in `prepared`.

    The weights are the cell's, to the bit; the metadata gain the facts and lose `LEFT_OUT`.

    Raises
    ------
    PipelineError
        If a file cannot be read or written, or the model was trained on other data.
    """
    shared = _with_facts(File(cell), prepared)
    tensors, _ = read_tensors(cell)
    if shared.embeddings is not None:
        tensors[EMBEDDINGS] = shared.embeddings
    kept = {key: value for key, value in shared.about.items() if key not in LEFT_OUT}
    facts = shared.facts.model_dump(mode="json")
    write_bytes(target, to_bytes(tensors, kept | {"facts": facts}))
    return shared


def read(file: File, prepared: Path) -> Shared:
    """The model of `file`, written by `share` or, with its dataset in folder `prepared`, a cell's.

    Raises
    ------
    PipelineError
        If the file is missing, damaged or not a model's, or its dataset is missing or another.
    """
    tensors, about = read_tensors(file)
    embeddings = tensors.pop(EMBEDDINGS, None)
    senn = rebuilt(file, tensors, about)
    if "facts" not in about:
        return _with_facts(file, prepared / about["params"]["experiment"]["dataset"])
    try:
        facts = Facts.model_validate(about["facts"])
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise PipelineError(f"{file}: metadata: facts: {key}: {first['msg'].lower()}") from error
    count = 0 if embeddings is None else len(embeddings)
    if count != len(facts.vocabulary):
        raise PipelineError(f"{file}: has {len(facts.vocabulary)} words, but embeddings of {count}")
    return Shared(senn, about, facts, embeddings)


def _with_facts(file: File, prepared: Path) -> Shared:
    senn, about = load_cell(file)
    data = load_dataset(prepared)
    if data.digest != about["data"]:
        raise PipelineError(
            f"{file}: was trained on data with the SHA-256 {about['data']}, {prepared} has "
            f"{data.digest}. `dvc repro` makes data and models that belong together."
        )
    facts = facts_of(senn, data, prepared / TABLE_NAME)
    return Shared(senn, about, facts, data.embeddings)
