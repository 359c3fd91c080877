"""The published claims, as data.

"paper" is Alvarez-Melis & Jaakkola 2018, as the review quotes it; "review" is the 2020
re-implementation's report.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Literal

Source = Literal["paper", "review"]
Kind = Literal["accuracy", "every accuracy", "accuracy lost", "qualitative"]


@dataclass(frozen=True)
class Claim:
    """One published claim.

    Attributes
    ----------
    experiment, dataset : str
        Which experiment of params.yaml tests it, and on which dataset it was published.
    kind : str
        ``accuracy`` at one λ; ``every accuracy``, at all λ between two; ``accuracy lost`` between
        two λ; ``qualitative``: no number was published.
    lambdas : tuple of float
        The λ, or the two λ, that it is about; empty: the headline λ.
    published : str
        The published number or range, in per cent or points; of a qualitative claim words.
    """

    experiment: str
    dataset: str
    id: str
    text: str
    source: Source
    kind: Kind = "qualitative"
    lambdas: tuple[float, ...] = ()
    published: str = "in words"

    @property
    def low(self) -> float | None:
        """The least share in [0, 1] that rounds to the published number; None if there is none."""
        return self._bound(0, -1)

    @property
    def high(self) -> float | None:
        """The largest share in [0, 1] that rounds to the published number."""
        return self._bound(-1, 1)

    def _bound(self, which: int, sign: int) -> float | None:
        printed = [Decimal(number) for number in re.findall(r"\d+(?:\.\d+)?", self.published)]
        if not printed:
            return None
        exponent = printed[which].as_tuple().exponent
        half = Decimal((0, (5,), int(exponent) - 1))  # of the last digit printed
        return float((printed[which] + sign * half) / 100)


_compas = partial(Claim, "compas_senn", "compas")
_mnist = partial(Claim, "mnist_senn", "mnist")
_disenn = partial(Claim, "mnist_disenn", "mnist")
_MNIST, _COMPAS = "SENN’s test accuracy on MNIST", "SENN’s test accuracy on COMPAS"
_LOST = "Accuracy lost on COMPAS between the smallest and the largest λ"
_EVERY = "SENN on MNIST, for every λ from 0 to 1"
_COLLAPSE = f"{_MNIST} under the strongest regularisation"
_STABLE = "Relevances and concepts are nearly equal for visually similar digits"
_POOR = "Most of SENN’s explanations on MNIST are not plausible; its concepts mix digits"
_DIVERSE = "DiSENN’s concepts are more interpretable than SENN’s but still overlap"
_DISENN, _ENDS = "DiSENN’s test accuracy on MNIST", (1e-4, 1.0)

CLAIMS: tuple[Claim, ...] = (
    _mnist("mnist-accuracy", _MNIST, "review", "accuracy", (1e-4,), "98.9 %"),
    _mnist("mnist-accuracy-paper", _EVERY, "paper", "every accuracy", (0.0, 1.0), "98.7 to 99.1 %"),
    _compas("compas-accuracy", _COMPAS, "review", "accuracy", (1e-4,), "80.9 %"),
    _compas("compas-accuracy-paper", _COMPAS, "paper", "accuracy", (1e-4,), "82 %"),
    _compas("compas-tradeoff", _LOST, "review", "accuracy lost", _ENDS, "about 15 points"),
    _compas("compas-tradeoff-paper", _LOST, "paper", "accuracy lost", _ENDS, "about 4 points"),
    _mnist("mnist-collapse", _COLLAPSE, "review", "accuracy", (1.0,), "40 %"),
    _mnist("mnist-collapse-paper", _COLLAPSE, "paper", "accuracy", (1.0,), "98.7 %"),
    _disenn("disenn-accuracy", _DISENN, "review", "accuracy", (1e-3,), "98.36 %"),
    _mnist("stable-explanations", _STABLE, "review"),
    _mnist("poor-explanations", _POOR, "review"),
    _disenn("disenn-diversity", _DIVERSE, "review"),
)
