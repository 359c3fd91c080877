"""Why a self-explaining network says what it says, in words for people who know nothing of it."""

import numpy as np

from pipeline.reporting import wording
from pipeline.reporting.examples import Example

_MAIN = 0.8  # reasons are named until they make up this share of all that speaks for the class
_MOST = 3  # reasons to name
_NOTABLE = 0.2  # what speaks against it is named from this share of what speaks for it


def reason(example: Example, names: list[str]) -> str:
    """One sentence: what the model says, whether that is right, and what it mainly rests on.

    Parameters
    ----------
    names : of the concepts.
    """
    verdict = "rightly" if example.prediction == example.truth else f"wrongly ({example.truth})"
    said = (
        f"The model says {example.prediction} ({wording.probability(example.probability)}), "
        f"{verdict}, "
    )
    values = example.contributions
    if not values.any():
        return said + "by default: every contribution is 0, so all classes are equally probable."
    order = np.argsort(-values, kind="stable")
    helping = [int(index) for index in order if values[index] > 0]
    if not helping:
        return said + f"only because still less speaks for {example.contrast}."
    total = float(values[helping].sum())
    enough = 1 + int(np.searchsorted(np.cumsum(values[helping]), _MAIN * total))
    main = [_named(names[index], values[index]) for index in helping[: min(enough, _MOST)]]
    worst = int(order[-1])
    against = ""
    if values[worst] < -_NOTABLE * total:
        against = f"; {_named(names[worst], values[worst])} speaks most against it"
    return f"{said}mainly because of {wording.listed(main)}{against}."


def arithmetic(example: Example) -> str:
    """The way from contributions to the probability, in one sentence."""
    logit, other = (
        wording.minus(f"{round(float(values.sum()), 2) + 0.0:.2f}")  # no negative zero
        for values in (example.contributions, example.contrast_contributions)
    )
    return (
        f"The contributions add up to {logit}, the logit of {example.prediction}; that of "
        f"{example.contrast} is {other}. The softmax of all logits gives {example.prediction} a "
        f"probability of {wording.probability(example.probability)}."
    )


def _named(name: str, contribution: float) -> str:
    return f"{name} ({wording.minus(f'{contribution:+.2f}')})"
