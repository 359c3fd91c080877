"""The published claims and curves, as data.

"paper" is Alvarez-Melis & Jaakkola 2018, as the review quotes it; "review" is the 2020
re-implementation: its report, and for the curves the results its repository ships. Accuracies and
differences of accuracies are shares in [0, 1].
"""

from dataclasses import dataclass
from typing import Literal

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
    low, high : float or None
        The published number as printed: anything that rounds to it, or the printed range.
    published : str
        The published number, for people.
    """

    id: str
    text: str
    source: Literal["paper", "review"]
    experiment: str
    dataset: str
    kind: Kind
    lambdas: tuple[float, ...]
    low: float | None
    high: float | None
    published: str


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "mnist-accuracy",
        "SENN’s test accuracy on MNIST",
        "review",
        "mnist_senn",
        "mnist",
        "accuracy",
        (1e-4,),
        0.9885,
        0.9895,
        "98.9 %",
    ),
    Claim(
        "mnist-accuracy-paper",
        "SENN on MNIST, for every λ from 0 to 1",
        "paper",
        "mnist_senn",
        "mnist",
        "every accuracy",
        (0.0, 1.0),
        0.9865,
        0.9915,
        "98.7 to 99.1 %",
    ),
    Claim(
        "compas-accuracy",
        "SENN’s test accuracy on COMPAS",
        "review",
        "compas_senn",
        "compas",
        "accuracy",
        (1e-4,),
        0.8085,
        0.8095,
        "80.9 %",
    ),
    Claim(
        "compas-accuracy-paper",
        "SENN’s test accuracy on COMPAS",
        "paper",
        "compas_senn",
        "compas",
        "accuracy",
        (1e-4,),
        0.815,
        0.825,
        "82 %",
    ),
    Claim(
        "compas-tradeoff",
        "Accuracy lost on COMPAS between the smallest and the largest λ",
        "review",
        "compas_senn",
        "compas",
        "accuracy lost",
        (1e-4, 1.0),
        0.145,
        0.155,
        "about 15 points",
    ),
    Claim(
        "compas-tradeoff-paper",
        "Accuracy lost on COMPAS between the smallest and the largest λ",
        "paper",
        "compas_senn",
        "compas",
        "accuracy lost",
        (1e-4, 1.0),
        0.035,
        0.045,
        "about 4 points",
    ),
    Claim(
        "mnist-collapse",
        "SENN’s test accuracy on MNIST under the strongest regularisation",
        "review",
        "mnist_senn",
        "mnist",
        "accuracy",
        (1.0,),
        0.395,
        0.405,
        "40 %",
    ),
    Claim(
        "mnist-collapse-paper",
        "SENN’s test accuracy on MNIST under the strongest regularisation",
        "paper",
        "mnist_senn",
        "mnist",
        "accuracy",
        (1.0,),
        0.9865,
        0.9875,
        "98.7 %",
    ),
    Claim(
        "disenn-accuracy",
        "DiSENN’s test accuracy on MNIST",
        "review",
        "mnist_disenn",
        "mnist",
        "accuracy",
        (1e-3,),
        0.98355,
        0.98365,
        "98.36 %",
    ),
    Claim(
        "stable-explanations",
        "Relevances and concepts are nearly equal for visually similar digits",
        "review",
        "mnist_senn",
        "mnist",
        "qualitative",
        (),
        None,
        None,
        "in words",
    ),
    Claim(
        "poor-explanations",
        "Most of SENN’s explanations on MNIST are not plausible; its concepts mix digits",
        "review",
        "mnist_senn",
        "mnist",
        "qualitative",
        (),
        None,
        None,
        "in words",
    ),
    Claim(
        "disenn-diversity",
        "DiSENN’s concepts are more interpretable than SENN’s but still overlap",
        "review",
        "mnist_disenn",
        "mnist",
        "qualitative",
        (),
        None,
        None,
        "in words",
    ),
)


@dataclass(frozen=True)
class PublishedCurve:
    """Published accuracies against λ: `points` maps λ to one value per published seed."""

    experiment: str
    label: str
    points: dict[float, tuple[float, ...]]


@dataclass(frozen=True)
class PublishedRange:
    """Accuracies in [low, high], published for all λ from `from_lambda` to `to_lambda`."""

    experiment: str
    label: str
    from_lambda: float
    to_lambda: float
    low: float
    high: float


BEST_VALIDATION = "review, best validation accuracy"
TEST = "review, test accuracy"
PAPER = "paper, as quoted"

PUBLISHED_CURVES: tuple[PublishedCurve, ...] = (
    PublishedCurve(
        "compas_senn",
        BEST_VALIDATION,
        {
            1e-4: (0.8000, 0.8100, 0.7750),
            1e-3: (0.7950, 0.7875, 0.7675),
            1e-2: (0.7875, 0.7650, 0.7400),
            1e-1: (0.6875, 0.6725, 0.6950),
            1.0: (0.6625, 0.6150, 0.6375),
        },
    ),
    PublishedCurve("compas_senn", TEST, {1e-4: (0.809,)}),
    # 82 %, and about 4 points less at the other end.
    PublishedCurve("compas_senn", PAPER, {1e-4: (0.82,), 1.0: (0.78,)}),
    PublishedCurve(
        "mnist_senn",
        BEST_VALIDATION,
        {1e-4: (0.9883,), 1e-3: (0.9877,), 1e-2: (0.9830,), 1e-1: (0.9598,), 1.0: (0.2445,)},
    ),
    PublishedCurve("mnist_senn", TEST, {1e-4: (0.989,), 1.0: (0.40,)}),
    PublishedCurve("mnist_disenn", BEST_VALIDATION, {1e-3: (0.9834,)}),
    PublishedCurve("mnist_disenn", TEST, {1e-3: (0.9836,)}),
)

PUBLISHED_RANGES: tuple[PublishedRange, ...] = (
    PublishedRange("mnist_senn", PAPER, 0.0, 1.0, 0.987, 0.991),
)
