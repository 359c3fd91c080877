"""One explained prediction: as numbers, as text for a terminal, and as the report's figure."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:  # slow to import: not before something is drawn
    from matplotlib.figure import Figure

_WIDTH, _BAR = 88, 12  # characters: of sentences, and of the longest bar on either side
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_SHADES = " ░▒▓█"


@dataclass(frozen=True, repr=False)
class Explanation:
    """What a model says of one input, and why.

    Attributes
    ----------
    model : str
        The model: experiment, λ, seed.
    input : ndarray
        Raw values: (features,), or pixels in [0, 1], (channels, height, width).
    feature_names : tuple of str
        In plain words, one per feature; empty for images.
    values : tuple of float
        Of the features in their own units; empty for images.
    logits, probabilities : dict
        By class.
    prediction, target, contrast : str
        The most probable class; the class that is explained; the most probable class but that.
    concept_names : tuple of str
    concepts, relevances, contributions : ndarray (K,)
        h_k, θ_kc and θ_kc h_k for c = `target`. The contributions add up to its logit.
    contrast_contributions : ndarray (K,)
        The same for `contrast`.
    method, label : str
        The explanation method: its key, and its name for people.
    attributions : ndarray
        What the method says of the logit of `target`: per concept (K,) or per input, like `input`.
    speaks_of : "concepts" or "inputs"
    strips : ndarray or None
        For a β-VAE, what it draws as each concept moves, (K, steps, channels, height, width).
    notes, warnings : tuple of str
        How the input was made, and in which way it is unlike the training data.
    caveat : str
        What everyone must know who uses the model, or nothing.
    """

    model: str
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
        """Whether each concept is a feature of a table."""
        return self.concept_names == self.feature_names

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
        share = _percent(self.probabilities[self.target])
        return f"<Explanation of {self.target}, {share}, by {self.method}; {self.model}>"

    def __str__(self) -> str:
        """The explanation as text, for a terminal."""
        remarks = [_filled("- ", note) for note in self.notes]
        remarks += [_filled("! ", f"Careful: {warning}") for warning in self.warnings]
        blocks = (
            self.model,
            "" if self.feature_names else _in_blocks(self.input.mean(0)),
            self._prediction(),
            self._contributions(),
            self._attributions(),
            "\n".join(remarks),
            _filled("", self.caveat.replace("*", "")),
        )
        return "\n\n".join(filter(None, blocks))

    def _prediction(self) -> str:
        ranked = sorted(self.probabilities.items(), key=lambda item: -item[1])
        shown = [f"{name}, {_percent(share)}" for name, share in ranked[:4] if share >= 5e-4]
        if len(shown) < len(ranked):
            shown.append("others less" if len(shown) > 1 else "others below 0.1 %")
        return f"Prediction: {shown[0]}   ({'; '.join(shown[1:])})"

    def _contributions(self) -> str:
        """Concepts, relevances and contributions for `target`, largest first, and their sum."""
        order = np.argsort(-np.abs(self.contributions), kind="stable")
        units = [(f"{value:.4g}",) for value in self.values]
        rows = [
            (
                self.concept_names[k],
                *(units[k] if self.concepts_are_features else ()),
                _signed(self.concepts[k]),
                _signed(self.relevances[k]),
                _signed(self.contributions[k]),
                _bar(self.contributions[k], np.abs(self.contributions).max()),
            )
            for k in order
        ]
        value = ("value",) if self.concepts_are_features else ()
        heading = (f"why {self.target}", *value, "concept", "relevance", "contribution", "")
        total = _signed(self.contributions.sum())
        rows.append((f"sum = logit of {self.target}", *("" for _ in value), "", "", total, ""))
        return _table([heading, *rows]) + f"\n{self._from_sum_to_probability()}"

    def _from_sum_to_probability(self) -> str:
        share = _percent(self.probabilities[self.target])
        logit, other = self.logits[self.target], self.logits[self.contrast]
        rival = f"The logit of {self.contrast} is {_plain(other)}"
        if len(self.logits) == 2:
            return f"{rival}: 1 / (1 + exp({_plain(other - logit)})) = {share} for {self.target}."
        return f"{rival}. Softmax of all {len(self.logits)}: {share} for {self.target}."

    def _attributions(self) -> str:
        """What another method says; SENN's own explanations are in the other table."""
        if self.method in ("relevance", "contribution"):
            return ""
        heading = f"{self.label} ({self.method}), of the logit of {self.target}"
        if self.speaks_of == "inputs" and not self.feature_names:
            return f"{heading}: sum {_signed(self.attributions.sum())}; the figure has the map."
        names = self.feature_names if self.speaks_of == "inputs" else self.concept_names
        order = np.argsort(-np.abs(self.attributions), kind="stable")
        most = np.abs(self.attributions).max()
        rows = [
            (names[i], _signed(self.attributions[i]), _bar(self.attributions[i], most))
            for i in order
        ]
        return f"{heading}\n{_table(rows)}"


def _signed(value: float) -> str:
    text = f"{value:+.2f}"
    return "0.00" if float(text) == 0 else text.replace("-", "−")


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _plain(value: float) -> str:
    return _signed(value).removeprefix("+")


def _bar(value: float, most: float) -> str:
    """A bar from the middle, to the left if negative; its longest is _BAR characters."""
    eighths = round(8 * _BAR * abs(value) / most) if most > 0 else 0
    whole, part = divmod(eighths, 8)
    if value >= 0:
        return " " * _BAR + "│" + "█" * whole + _EIGHTHS[part].strip()
    half = "▐" if part >= 4 else ""  # there are no eighths that fill from the right
    return (half + "█" * whole).rjust(_BAR)[-_BAR:] + "│"


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    """Columns: the first and, with its bars, the last to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        first, *numbers, bar = row
        cells = [text.rjust(width) for text, width in zip(numbers, widths[1:-1], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *cells, bar]).rstrip())
    return "\n".join(lines)


def _filled(mark: str, text: str) -> str:
    return textwrap.fill(text, _WIDTH, initial_indent=mark, subsequent_indent=" " * len(mark))


def _in_blocks(pixels: np.ndarray) -> str:
    """An image (height, width) in [0, 1] in shades; a character is one pixel wide and two high."""
    height = len(pixels) - len(pixels) % 2
    pairs = pixels[:height].reshape(height // 2, 2, -1).mean(1)
    levels = (pairs * (len(_SHADES) - 1)).round().astype(int)
    rows = ["".join(_SHADES[level] for level in row) for row in levels]
    edge = "─" * pixels.shape[1]
    return "\n".join((f"┌{edge}┐", *(f"│{row}│" for row in rows), f"└{edge}┘"))
