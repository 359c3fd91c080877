"""What params.yaml chooses by name: datasets, robustness variants, conceptizers, parameterizers.

A new one is one file and one entry here: its name, its settings, and where it is implemented,
``module:object``. The implementation is imported only where it is used (`implementation`), so that
no stage depends on code that it does not run.
"""

import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import Field

from pipeline.core import params_types as kind
from pipeline.core.kinds import KINDS, Kind, kind_of
from pipeline.core.params_errors import Problem


@dataclass(frozen=True)
class DatasetFacts:
    """What is known of a dataset before it is prepared; stage `prepare` checks it.

    Attributes
    ----------
    module : str
        The module, or ``module:object``, that has ``files()`` and ``prepare(raw, split_seed)``; see
        pipeline/data/compas.py. With `TEXTS`, `prepare` takes section `texts` of the params, too,
        and ``documents(raw)`` has the texts word by word (pipeline/data/texts.py).
    input_shape : tuple of int
        (columns,) of a table, (channels, height, width) of images, `TEXTS` of texts.
    classes : int
    train : int
        Training examples.
    by_column : bool
        Whether every column is normalised by its own mean and standard deviation.
    """

    module: str
    input_shape: tuple[int, ...]
    classes: int
    train: int
    by_column: bool = False

    @property
    def kind(self) -> Kind:
        """What the inputs are."""
        return kind_of(self.input_shape)


def _uci(name: str, columns: int, classes: int, train: int) -> DatasetFacts:
    """A table of pipeline/data/uci.py."""
    return DatasetFacts(f"pipeline.data.uci:{name}", (columns,), classes, train, by_column=True)


TEXTS = (0, 0)  # what section `texts` says of their shape comes in its place: `facts_of`

DATASETS = {
    "compas": DatasetFacts("pipeline.data.compas", (11,), classes=2, train=3858),
    "mnist_5k": DatasetFacts("pipeline.data.mnist_5k", (1, 28, 28), classes=10, train=4000),
    "mnist": DatasetFacts("pipeline.data.mnist", (1, 28, 28), classes=10, train=54_000),
    "uci/ionosphere": _uci("IONOSPHERE", 33, classes=2, train=281),
    "uci/heart": _uci("HEART", 22, classes=2, train=237),
    "uci/diabetes": _uci("DIABETES", 8, classes=2, train=614),
    "uci/breast_cancer": _uci("BREAST_CANCER", 30, classes=2, train=455),
    "uci/yeast": _uci("YEAST", 8, classes=10, train=1188),
    "uci/abalone": _uci("ABALONE", 10, classes=3, train=3341),
    "uci/wine": _uci("WINE", 13, classes=3, train=142),
    "uci/glass": _uci("GLASS", 9, classes=6, train=170),
    "reuters_r8": DatasetFacts("pipeline.data.texts:REUTERS_R8", TEXTS, classes=8, train=4936),
    "newsgroups": DatasetFacts("pipeline.data.texts:NEWSGROUPS", TEXTS, classes=20, train=10_163),
}
"""By name; those of a collection, which are downloaded and prepared together, as
``collection/table``."""


def facts_of(dataset: str, text_shape: tuple[int, int]) -> DatasetFacts:
    """What is known of `dataset`, an input of which has `text_shape` if `TEXTS` stands for it."""
    facts = DATASETS[dataset]
    return replace(facts, input_shape=text_shape) if facts.input_shape == TEXTS else facts


def collection_of(dataset: str) -> str:
    """What is downloaded and prepared for `dataset`: its collection, or it alone."""
    return dataset.partition("/")[0]


VARIANTS = {
    "paper2018": "pipeline.training.robustness:of_logits",
    "review2020": "pipeline.training.robustness:of_log_softmax",
    "authors2018": "pipeline.training.robustness:of_log_softmax",
}
"""The robustness losses, and the function that says what each differentiates."""


def implementation(place: str) -> Any:
    """The object at `place`, ``module`` or ``module:object``."""
    return pkgutil.resolve_name(place)


class Part(kind.Section):
    """Settings of a part of the model; the class at `built_by` takes them by name.

    It is for data of some `kinds`.
    """

    name: str
    built_by: ClassVar[str]
    section: ClassVar[str]
    kinds: ClassVar[tuple[Kind, ...]] = KINDS

    def settings(self) -> dict[str, Any]:
        """All but the name."""
        return self.model_dump(exclude={"name"})

    def problems(self, data: DatasetFacts, num_concepts: int, dropout: float) -> Iterator[Problem]:
        """What does not fit a dataset of its `kinds`, or the experiment, whose keys are named."""
        return iter(())


class Conceptizer(Part):
    """Called as ``Class(input_shape, num_concepts, **settings)``."""

    section = "conceptizer"


class IdentityConceptizer(Conceptizer):
    """h(x) = x, of tables."""

    name: Literal["identity"]
    built_by = "pipeline.models.conceptizers:IdentityConceptizer"
    kinds = ("tables",)

    def problems(self, data: DatasetFacts, num_concepts: int, dropout: float) -> Iterator[Problem]:
        if (num_concepts,) != data.input_shape:
            words = f"must be {data.input_shape[0]}, the features, with the identity conceptizer"
            yield "num_concepts", words, num_concepts


class ConvConceptizer(Conceptizer):
    """Convolutional autoencoder with one scalar concept per channel of its last feature map.

    channels : output channels of each convolution but the last, which has one per concept.
    kernel_size : pixels, of all convolutions.
    decoder_channels : output channels of the first two of the three transposed convolutions.
    decoder_shared : whether one linear map leads from any concept back to its channel, as the
        review's does; by default each concept has its own.
    """

    name: Literal["conv"]
    channels: kind.SomeSizes
    kernel_size: kind.Count
    decoder_channels: kind.TwoSizes
    decoder_shared: bool = False
    built_by = "pipeline.models.conceptizers:ConvConceptizer"
    kinds = ("images",)

    def problems(self, data: DatasetFacts, num_concepts: int, dropout: float) -> Iterator[Problem]:
        layers = len(self.channels) + 1
        problems = list(_convolution_problems(self, data, self.kernel_size, layers))
        yield from problems
        if problems:
            return
        rebuilt = rebuilt_shape(data.input_shape, self.kernel_size, layers)
        if rebuilt != data.input_shape[1:]:
            words = (
                f"must let the decoder rebuild {_pixels(data.input_shape[1:])} pixels from what "
                f"{layers} convolutions leave, it rebuilds {_pixels(rebuilt)}"
            )
            yield "conceptizer.kernel_size", words, self.kernel_size


class VaeConceptizer(Conceptizer):
    """The β-VAE of section `vae`; the concepts are its latent means."""

    name: Literal["vae"]
    built_by = "pipeline.models.conceptizers:VaeConceptizer"
    kinds = ("tables", "images")


class WordsConceptizer(Conceptizer):
    """A text's words: h_k is 1 if there is a k-th word, else 0."""

    name: Literal["words"]
    built_by = "pipeline.models.words:WordsConceptizer"
    kinds = ("texts",)

    def problems(self, data: DatasetFacts, num_concepts: int, dropout: float) -> Iterator[Problem]:
        if num_concepts != data.input_shape[0]:
            words = (
                f"must be {data.input_shape[0]}, texts.max_length, since every word is a concept"
            )
            yield "num_concepts", words, num_concepts


class Parameterizer(Part):
    """Called as ``Class(input_shape, num_concepts, num_classes, dropout=…, **settings)``."""

    section = "parameterizer"


class MlpParameterizer(Parameterizer):
    """Multi-layer perceptron.

    hidden_sizes : units of the hidden layers; may be [].
    """

    name: Literal["mlp"]
    hidden_sizes: kind.Sizes
    built_by = "pipeline.models.parameterizers:MlpParameterizer"

    def problems(self, data: DatasetFacts, num_concepts: int, dropout: float) -> Iterator[Problem]:
        if dropout > 0 and not self.hidden_sizes:
            words = "must be 0 with parameterizer.hidden_sizes [], which leaves no units to drop"
            yield "dropout", words, dropout


class ConvParameterizer(Parameterizer):
    """Convolutions, then linear layers.

    channels : output channels of each convolution.
    kernel_size : pixels, of all convolutions.
    hidden_sizes : units of the hidden linear layers; may be [].
    """

    name: Literal["conv"]
    channels: kind.SomeSizes
    kernel_size: kind.Count
    hidden_sizes: kind.Sizes
    built_by = "pipeline.models.parameterizers:ConvParameterizer"
    kinds = ("images",)

    def problems(self, data: DatasetFacts, num_concepts: int, dropout: float) -> Iterator[Problem]:
        return _convolution_problems(self, data, self.kernel_size, len(self.channels))


class RecurrentParameterizer(Parameterizer):
    """A recurrent layer over a text's words, and a linear map of its state at each to relevances.

    cell : `gru` or `lstm`.
    hidden_size : units of its state, in each direction.
    bidirectional : whether it reads the text backwards, too.
    """

    name: Literal["recurrent"]
    cell: Literal["gru", "lstm"]
    hidden_size: kind.Count
    bidirectional: bool
    built_by = "pipeline.models.words:RecurrentParameterizer"
    kinds = ("texts",)


def pooled_shape(input_shape: tuple[int, ...], kernel_size: int, layers: int) -> tuple[int, int]:
    """Height and width after `layers` of an unpadded convolution and max-pooling by 2.

    Below 1 where images (channels, height, width) are too small for so many layers.
    """
    _, height, width = input_shape
    for _ in range(layers):
        height, width = (height - kernel_size + 1) // 2, (width - kernel_size + 1) // 2
    return height, width


def rebuilt_shape(input_shape: tuple[int, ...], kernel_size: int, layers: int) -> tuple[int, int]:
    """Height and width that the conv conceptizer's decoder rebuilds from `pooled_shape`.

    Its transposed convolutions have kernel and stride 2, the same kernel and stride 1, and a 2 × 2
    kernel with stride 2 and padding 1.
    """
    height, width = (
        2 * (2 * (side - 1) + kernel_size + kernel_size - 2)
        for side in pooled_shape(input_shape, kernel_size, layers)
    )
    return height, width


def _convolution_problems(
    part: Part, data: DatasetFacts, kernel_size: int, layers: int
) -> Iterator[Problem]:
    if min(pooled_shape(data.input_shape, kernel_size, layers)) < 1:
        words = (
            f"must leave a pixel of {_pixels(data.input_shape[1:])} after {layers} convolutions, "
            "each followed by pooling by 2"
        )
        yield f"{part.section}.kernel_size", words, kernel_size


def _pixels(sides: tuple[int, ...]) -> str:
    return " × ".join(map(str, sides))


# Choices are known at run time only: type checkers see a name as str, and a part as its base.
if TYPE_CHECKING:
    DatasetName: TypeAlias = str
    CollectionName: TypeAlias = str
    TextsName: TypeAlias = str
    Variant: TypeAlias = str
    AnyConceptizer: TypeAlias = Conceptizer
    AnyParameterizer: TypeAlias = Parameterizer
else:
    DatasetName = Literal[tuple(DATASETS)]
    CollectionName = Literal[tuple(dict.fromkeys(map(collection_of, DATASETS)))]
    TextsName = Literal[tuple(name for name, d in DATASETS.items() if d.input_shape == TEXTS)]
    Variant = Literal[tuple(VARIANTS)]
    _ByName = Field(discriminator="name")
    AnyConceptizer = Annotated[reduce(or_, Conceptizer.__subclasses__()), _ByName]
    AnyParameterizer = Annotated[reduce(or_, Parameterizer.__subclasses__()), _ByName]
CollectionNames = Annotated[tuple[CollectionName, ...], kind.AnyList, kind.NotEmpty, kind.Distinct]
Variants = Annotated[tuple[Variant, ...], kind.AnyList, kind.NotEmpty, kind.Distinct]
