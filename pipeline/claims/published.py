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


@dataclass(frozen=True, kw_only=True)
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

    id: str
    text: str
    source: Source
    experiment: str
    dataset: str
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


_compas = partial(Claim, experiment="compas_senn", dataset="compas")
_mnist = partial(Claim, experiment="mnist_senn", dataset="mnist")
_disenn = partial(Claim, experiment="mnist_disenn", dataset="mnist")
_COLLAPSE = "SENN’s test accuracy on MNIST under the strongest regularisation"
_TRADEOFF = "Accuracy lost on COMPAS between the smallest and the largest λ"

CLAIMS: tuple[Claim, ...] = (
    _mnist(
        id="mnist-accuracy",
        text="SENN’s test accuracy on MNIST",
        source="review",
        kind="accuracy",
        lambdas=(1e-4,),
        published="98.9 %",
    ),
    _mnist(
        id="mnist-accuracy-paper",
        text="SENN on MNIST, for every λ from 0 to 1",
        source="paper",
        kind="every accuracy",
        lambdas=(0.0, 1.0),
        published="98.7 to 99.1 %",
    ),
    _compas(
        id="compas-accuracy",
        text="SENN’s test accuracy on COMPAS",
        source="review",
        kind="accuracy",
        lambdas=(1e-4,),
        published="80.9 %",
    ),
    _compas(
        id="compas-accuracy-paper",
        text="SENN’s test accuracy on COMPAS",
        source="paper",
        kind="accuracy",
        lambdas=(1e-4,),
        published="82 %",
    ),
    _compas(
        id="compas-tradeoff",
        text=_TRADEOFF,
        source="review",
        kind="accuracy lost",
        lambdas=(1e-4, 1.0),
        published="about 15 points",
    ),
    _compas(
        id="compas-tradeoff-paper",
        text=_TRADEOFF,
        source="paper",
        kind="accuracy lost",
        lambdas=(1e-4, 1.0),
        published="about 4 points",
    ),
    _mnist(
        id="mnist-collapse",
        text=_COLLAPSE,
        source="review",
        kind="accuracy",
        lambdas=(1.0,),
        published="40 %",
    ),
    _mnist(
        id="mnist-collapse-paper",
        text=_COLLAPSE,
        source="paper",
        kind="accuracy",
        lambdas=(1.0,),
        published="98.7 %",
    ),
    _disenn(
        id="disenn-accuracy",
        text="DiSENN’s test accuracy on MNIST",
        source="review",
        kind="accuracy",
        lambdas=(1e-3,),
        published="98.36 %",
    ),
    _mnist(
        id="stable-explanations",
        text="Relevances and concepts are nearly equal for visually similar digits",
        source="review",
    ),
    _mnist(
        id="poor-explanations",
        text="Most of SENN’s explanations on MNIST are not plausible; its concepts mix digits",
        source="review",
    ),
    _disenn(
        id="disenn-diversity",
        text="DiSENN’s concepts are more interpretable than SENN’s but still overlap",
        source="review",
    ),
)
