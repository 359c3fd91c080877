"""What was published, as data: claims, all numbers of each quantity, and how they were made.

"paper" is Alvarez-Melis & Jaakkola 2018; "review" is the 2020 re-implementation: its report, its
logs, and the checkpoints that it ships, which we measured; "ETH" is an independent student
re-implementation at ETH Zürich; "Zheng" is Zheng et al. 2019, who attacked SENN's concepts; "Arras"
is Arras et al. 2017, who measured the explanatory power of explanations of texts.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from operator import attrgetter
from typing import Any, Literal

from pipeline.core.params import Params

Source = Literal["paper", "review", "ETH"]
Kind = Literal[
    "accuracy",
    "accuracy lost",
    "linear accuracy",
    "ahead of linear",
    "trade-off",
    "contest",
    "attack",
    "power",
    "qualitative",
]


@dataclass(frozen=True)
class Number:
    """One published number of a quantity.

    Attributes
    ----------
    printed : str
        As published, or as measured of what was: a number or a range, in per cent or points.
    of : str
        What of the source it is from, if not from its text.
    """

    source: Source
    printed: str
    of: str = ""

    def __str__(self) -> str:
        """``review’s checkpoints``."""
        return f"{self.source}’s {self.of}" if self.of else self.source

    @property
    def whose(self) -> str:
        """In a sentence: ``the review’s checkpoints``."""
        return with_article(str(self))

    @property
    def name(self) -> str:
        """The same with the number: ``the review’s checkpoints (98.89 %)``."""
        return f"{self.whose} ({self.printed})"

    @property
    def low(self) -> float:
        """The least share in [0, 1] that rounds to it."""
        return float(self._ends[0] - self._half) / 100

    @property
    def high(self) -> float:
        """The largest share in [0, 1] that rounds to it."""
        return float(self._ends[-1] + self._half) / 100

    def distance(self, share: float) -> float:
        """How far `share` in [0, 1] is from the number as printed; 0 inside a range."""
        least, most = float(self._ends[0]) / 100, float(self._ends[-1]) / 100
        return max(least - share, share - most, 0.0)

    @property
    def _ends(self) -> list[Decimal]:
        """The number, or the two of a range."""
        return [Decimal(digits) for digits in re.findall(r"\d+(?:\.\d+)?", self.printed)]

    @property
    def _half(self) -> Decimal:
        """Half of the last digit printed."""
        return Decimal((0, (5,), int(self._ends[-1].as_tuple().exponent) - 1))


@dataclass(frozen=True)
class Claim:
    """One quantity that was published, or one claim in words.

    Attributes
    ----------
    experiment, dataset : str
        Which experiment of params.yaml tests it, and on which dataset it was published.
    kind : str
        ``accuracy`` at one λ; ``accuracy lost`` between two λ; ``linear accuracy``, a linear
        classifier's; ``ahead of linear``, SENN's accuracy less that; ``trade-off``, between two λ
        little accuracy is lost while relevances become stabler; ``contest``, SENN beside other
        methods (`pipeline.claims.rivals`); ``attack`` and ``power``, with a rule
        (`pipeline.claims.rules`); ``qualitative``, in words.
    lambdas : tuple of float
        The λ, or the two λ, that it is about; empty: the headline λ, or none.
    numbers : tuple of Number
        All that were published of it; of a claim in words none.
    in_words : str
        What was published of a claim without `numbers`, and by whom.
    """

    experiment: str
    dataset: str
    id: str
    text: str
    kind: Kind = "qualitative"
    lambdas: tuple[float, ...] = ()
    numbers: tuple[Number, ...] = ()
    in_words: str = "in words, review"


def with_article(source: str) -> str:
    """In a sentence: ``the review``, ``ETH``."""
    return source if source.startswith("ETH") else f"the {source}"


def answers(numbers: Sequence[Number]) -> list[list[Number]]:
    """`numbers` by what they say: those whose ranges overlap give the same answer.

    In the order of their size. Ranges that overlap a third one both belong with it.
    """
    groups: list[list[Number]] = []
    for number in sorted(numbers, key=lambda one: one.low):
        if groups and number.low <= max(one.high for one in groups[-1]):
            groups[-1].append(number)
        else:
            groups.append([number])
    return groups


_paper, _review, _eth = (partial(Number, source) for source in ("paper", "review", "ETH"))
_checkpoints = partial(_review, of="checkpoints")  # measured on our test sets
_compas = partial(Claim, "compas_senn", "compas")
_mnist = partial(Claim, "mnist_senn", "mnist")
_disenn = partial(Claim, "mnist_disenn", "mnist")
_MNIST = "SENN’s test accuracy on MNIST"
_LINEAR = "Test accuracy of logistic regression on COMPAS"
_NONE = f"{_MNIST} without regularisation"
_DISENN = "DiSENN’s test accuracy on MNIST"
_TRADE_OFF = "relevances become stabler as λ grows, and little accuracy is lost"
_STABLE = "Relevances and concepts are nearly equal for visually similar digits"
_POOR = "Most of SENN’s explanations on MNIST are not plausible; its concepts mix digits"
_DIVERSE = "DiSENN’s concepts are more interpretable than SENN’s but still overlap"
_STABLER = "On {}, SENN’s explanations are more stable than those of {}"
_FAITHFUL = "On the UCI tables, SENN’s relevances are at least as faithful as LIME and SHAP"
_SURROGATES, _OTHERS = "LIME and SHAP", "LIME, occlusion, LRP and gradient methods"
_ATTACKABLE = (
    "Concepts can be moved farther than to other classes by 0.2 to 0.3 per pixel, with the same "
    "prediction, while relevances hardly move"
)
_POWERFUL = (
    "On {}, sums of words weighted by LRP tell the topic better than by squared gradients, tf-idf "
    "or uniform weights"
)
_ARRAS = "in words, of 20 Newsgroups and a convolutional network, Arras et al."
_EVERY = _paper("98.7 to 99.1 %")  # for all λ from 0 to 1, as the review quotes it


def _mnist_at(robust_reg: float, identity: str, *numbers: Number, text: str = _MNIST) -> Claim:
    return _mnist(identity, text, "accuracy", (robust_reg,), numbers)


def _contest(experiment: str, dataset: str, identity: str, text: str, figure: str) -> Claim:
    in_words = f"figure {figure}, paper"
    return Claim(experiment, dataset, identity, text, "contest", in_words=in_words)


def _power(experiment: str, dataset: str, identity: str, texts: str) -> Claim:
    text = _POWERFUL.format(texts)
    return Claim(experiment, dataset, identity, text, "power", in_words=_ARRAS)


CLAIMS: tuple[Claim, ...] = (
    _compas(
        "compas-accuracy",
        "SENN’s test accuracy on COMPAS",
        "accuracy",
        (1e-4,),
        (_review("80.9 %"), _checkpoints("80.88 %"), _paper("82.02 %")),
    ),
    _compas(
        "compas-tradeoff",
        "Accuracy lost on COMPAS between the smallest and the largest λ",
        "accuracy lost",
        (1e-4, 1.0),
        (_review("about 15 points"), _checkpoints("15.0 points"), _paper("about 4 points")),
    ),
    _compas("compas-linear", _LINEAR, "linear accuracy", (), (_paper("78.54 %"),)),
    _compas(
        "logistic-compas",
        "SENN is more accurate on COMPAS than logistic regression",
        "ahead of linear",
        (1e-4,),
        in_words="82.02 % against 78.54 %, paper",
    ),
    _compas(
        "tradeoff-compas",
        f"On COMPAS {_TRADE_OFF}",
        "trade-off",
        (1e-4, 1.0),
        in_words="accuracy about 83 to 78 % in its figure 5A, paper",
    ),
    Claim(
        "uci_breast_cancer",
        "uci/breast_cancer",
        "tradeoff-breast-cancer",
        f"On breast cancer {_TRADE_OFF}",
        "trade-off",
        (0.0, 1.0),
        in_words="accuracy from 80 to 100 % and estimate from 0 to 1, the axes of its figure 5B, "
        "paper",
    ),
    _mnist_at(0.0, "mnist-unregularised", _paper("99.11 %"), text=_NONE),
    _mnist_at(
        1e-4, "mnist-accuracy", _review("98.9 %"), _checkpoints("98.89 %"), _eth("98.99 %"), _EVERY
    ),
    _mnist_at(1e-3, "mnist-accuracy-1e-3", _checkpoints("98.84 %"), _eth("98.89 %"), _EVERY),
    _mnist_at(1e-2, "mnist-accuracy-1e-2", _checkpoints("98.23 %"), _eth("98.68 %"), _EVERY),
    _mnist_at(1e-1, "mnist-accuracy-1e-1", _checkpoints("96.27 %"), _eth("97.12 %"), _EVERY),
    _mnist_at(
        1.0,
        "mnist-collapse",
        _paper("98.7 %"),
        _review("40 %"),
        _checkpoints("26.30 %"),
        _review("24.45 %", of="best validation"),
        _eth("10.30 %"),
        text=f"{_MNIST} under the strongest regularisation",
    ),
    _disenn("disenn-accuracy", _DISENN, "accuracy", (1e-3,), (_review("98.36 %"),)),
    _mnist("stable-explanations", _STABLE),
    _mnist("poor-explanations", _POOR),
    _disenn("disenn-diversity", _DIVERSE),
    _contest("uci", "uci", "stability-uci", _STABLER.format("the UCI tables", _SURROGATES), "5C"),
    _contest("mnist_senn", "mnist", "stability-mnist", _STABLER.format("MNIST", _OTHERS), "5C"),
    _contest("mnist_senn", "mnist", "stability-digit", _STABLER.format("a digit", _OTHERS), "4"),
    _contest(
        "compas_senn", "compas", "stability-compas", _STABLER.format("COMPAS", _SURROGATES), "10"
    ),
    _contest("uci", "uci", "faithfulness-uci", _FAITHFUL, "3"),
    _mnist("concepts-attackable", _ATTACKABLE, "attack", in_words="in words, Zheng et al."),
    _power("reuters_senn", "reuters_r8", "power-reuters", "Reuters R8"),
    _power("newsgroups_senn", "newsgroups", "power-newsgroups", "20 Newsgroups"),
)


def published_at(experiment: str, dataset: str, robust_reg: float) -> tuple[Number, ...]:
    """All published accuracies of an experiment on a dataset at one λ."""
    for claim in CLAIMS:
        about = (claim.experiment, claim.dataset, claim.kind, claim.lambdas)
        if about == (experiment, dataset, "accuracy", (robust_reg,)):
            return claim.numbers
    return ()


_LOSS = {"robustness.variant": "review2020", "robustness.reduction": "batch"}
_OF_ALL = {"lr": 0.001, "select": "best_validation_accuracy", **_LOSS}
_OF_MNIST = {**_OF_ALL, "robustness.probes": "exact", "epochs": 5, "eval_freq": 100, "dropout": 0.5,
             "concept_reg": 1.0, "training_mode_until": "first_validation"}  # fmt: skip
_OF_VAE = {"vae.objective": "review2020", "vae.target": "review2020", "pretrain.pretrain_epochs": 1}

PROTOCOLS: dict[str, dict[str, Any]] = {
    "compas_senn": {**_OF_ALL, "epochs": 100, "eval_freq": 30, "dropout": 0.0, "batch_size": 200},
    "mnist_senn": {**_OF_MNIST, "batch_size": 200, "conceptizer.decoder_shared": True},
    "uci_breast_cancer": {"robustness.variant": "authors2018", "lr": 0.0002, "dropout": 0.0},
    "mnist_disenn": {**_OF_MNIST, "batch_size": 128, "beta": 4.0, **_OF_VAE},
}
"""How the published numbers were made: per experiment, keys of params.yaml and their values.

A key is of the experiment's section unless it names another one.

The review's runs as its checkpoints, logs and trainer show them (docs/published-code.md), not as
its configs say; `presets/paper.yaml` follows them. What cannot change a number is left out, such as
when dropout ends where there is none, and the probes of the review's loss on tables, which takes
one gradient without. Of the tables of UCI the paper says how they were trained."""


def deviations(params: Params, name: str) -> tuple[str, ...]:
    """Where experiment `name` departs from the published runs: ``epochs 7 instead of 5``.

    Empty for an experiment that has no published counterpart.
    """
    departures = []
    for key, published in PROTOCOLS.get(name, {}).items():
        of_run = key.startswith(("robustness.", "vae.", "pretrain."))
        here = attrgetter(key)(params if of_run else params.experiment(name))
        if here != published:
            departures.append(f"{key} {_text(here)} instead of {_text(published)}")
    return tuple(departures)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
