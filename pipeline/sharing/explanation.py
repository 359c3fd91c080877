"""One explained prediction, as numbers."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from pipeline.core.kinds import Kind

if TYPE_CHECKING:  # slow to import: not before something is drawn
    from matplotlib.figure import Figure


class Said(NamedTuple):
    """What the words of a text say.

    `title` names for which class, `sum_is` what the `values` (words,) add up to; `limit` is the
    largest absolute value of all that they are compared with, or 1.
    """

    title: str
    sum_is: str
    values: np.ndarray
    limit: float


@dataclass(frozen=True, repr=False)
class Explanation:
    """What a model says of one input, and why.

    Attributes
    ----------
    model : str
        The model: experiment, λ, seed.
    kind : "tables", "texts" or "images"
        What the input is one of.
    input : ndarray
        Raw values: (features,), or pixels in [0, 1], (channels, height, width); of a text, where
        in the vocabulary its words are, (words,).
    feature_names : tuple of str
        In plain words, one per feature; of a text its words; empty for images.
    values : tuple of float
        Of the features of a table, in their own units; empty for others.
    logits, probabilities : dict
        By class.
    prediction, target, contrast : str
        The most probable class; the class that is explained; the most probable class but that.
    concept_names : tuple of str
        Of a text its words, in their order.
    concepts, relevances, contributions : ndarray (K,)
        h_k, θ_kc and θ_kc h_k for c = `target`. The contributions add up to its logit.
    contrast_contributions : ndarray (K,)
        The same for `contrast`.
    method, label : str
        The explanation method: its key, and its name for people.
    attributions : ndarray
        What the method says of the logit of `target`: per concept (K,), or per feature, pixel or
        word, like `input`.
    speaks_of : "concepts" or "inputs"
    strips : ndarray or None
        For a β-VAE, what it draws as each concept moves, (K, steps, channels, height, width).
    notes, warnings : tuple of str
        How the input was made, and in which way it is unlike the training data.
    caveat : str
        What everyone must know who uses the model, or nothing.
    """

    model: str
    kind: Kind
    input: np.ndarray
    feature_names: tuple[str, ...]
    values: tuple[float, ...]
    logits: dict[str, float]
    probabilities: dict[str, float]
    prediction: str
    target: str
    contrast: str
    concept_names: tuple[str, ...]
    concepts: np.ndarray
    relevances: np.ndarray
    contributions: np.ndarray
    contrast_contributions: np.ndarray
    method: str
    label: str
    attributions: np.ndarray
    speaks_of: Literal["concepts", "inputs"]
    strips: np.ndarray | None
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    caveat: str

    @property
    def concepts_are_features(self) -> bool:
        """Whether each concept is a feature of a table, or a word."""
        return self.concept_names == self.feature_names

    @property
    def is_own(self) -> bool:
        """Whether the method is the model's own explanation."""
        return self.method in ("relevance", "contribution")

    @property
    def named(self) -> tuple[str, ...]:
        """The names of what the method's `attributions` are of."""
        return self.feature_names if self.speaks_of == "inputs" else self.concept_names

    def said_by_words(self) -> list[Said]:
        """What the words of a text say for `target` and for `contrast`, and by another method."""
        own = (self.contributions, self.contrast_contributions)
        limit = _largest(*own)
        place = "the runner-up" if self.target == self.prediction else "the prediction"
        titles = (f"for {self.target}", f"for {self.contrast}, {place}")
        classes = (self.target, self.contrast)
        said = [
            Said(title, f"logit of {name}", values, limit)
            for title, name, values in zip(titles, classes, own, strict=True)
        ]
        if not self.is_own:
            title, values = f"for {self.target}, by {self.label}", self.attributions
            said.append(Said(title, "sum", values, _largest(values)))
        return said

    def as_dict(self) -> dict[str, Any]:
        """Everything but the strips, as JSON values."""
        fields = {key: value for key, value in vars(self).items() if key != "strips"}
        return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in fields.items()}

    def plot(self) -> "Figure":
        """The figure that the report has of such a prediction, or of such a method."""
        from pipeline.sharing.drawing import draw

        return draw(self)

    def _repr_png_(self) -> bytes:
        """The figure, for notebooks."""
        from pipeline.reporting.style import png

        return png(self.plot())

    def __repr__(self) -> str:
        share = f"{100 * self.probabilities[self.target]:.1f} %"
        return f"<Explanation of {self.target}, {share}, by {self.method}; {self.model}>"

    def __str__(self) -> str:
        """The explanation as text, for a terminal."""
        return self.text()

    def text(self, coloured: bool = False) -> str:
        """The explanation as text; words may be `coloured` by escape sequences for a terminal."""
        from pipeline.sharing.terminal import text

        return text(self, coloured)

    def html(self) -> str:
        """A page with the words of a text, coloured by what they say; it needs nothing else.

        Raises
        ------
        PipelineError
            If the input is no text.
        """
        from pipeline.sharing.page import page

        return page(self)


def _largest(*values: np.ndarray) -> float:
    return max(float(np.abs(each).max()) for each in values) or 1.0
