"""The rule of verdicts, on cases worked out by hand."""

import pytest

from pipeline.claims.comparison import Comparison
from pipeline.claims.published import CLAIMS
from pipeline.metrics.intervals import Interval


def compare(identity: str, *here: float) -> Comparison:
    (claim,) = (claim for claim in CLAIMS if claim.id == identity)
    return Comparison(Interval(*here), claim.numbers)


@pytest.mark.parametrize(
    ("here", "short"),
    [
        # Rounding: 80.9 % is 80.85 to 80.95 %, the checkpoints' 80.88 % 80.875 to 80.885 %.
        ((0.809, 0.805, 0.815), "reproduced: review; excluded: paper"),
        ((0.807, 0.805, 0.8086), "reproduced: review; excluded: review’s checkpoints and paper"),
        ((0.807, 0.805, 0.8084), "not reproduced: review, review’s checkpoints and paper"),
        ((0.822, 0.8202, 0.83), "reproduced: paper; excluded: review and review’s checkpoints"),
        ((0.822, 0.8203, 0.83), "not reproduced: review, review’s checkpoints and paper"),
        ((0.812, 0.79, 0.83), "undecided: review or paper"),
        ((0.816, 0.79, 0.83), "undecided: paper or review"),
    ],
)
def test_verdict_in_short_words(here, short):
    compared = compare("compas-accuracy", *here)
    assert compared.short == short
    assert compared.verdict == short.partition(":")[0]


def test_sentences():
    both = compare("compas-accuracy", 0.812, 0.79, 0.83)
    assert both.sentence() == (
        "agrees with the review (80.9 %) and the review’s checkpoints (80.88 %), does not exclude "
        "the paper (82.02 %)"
    )
    one = compare("compas-tradeoff", 0.146, 0.12, 0.17)
    assert one.sentence() == (
        "agrees with the review (about 15 points) and the review’s checkpoints (15.0 points), "
        "excludes the paper (about 4 points)"
    )
    none = compare("disenn-accuracy", 0.97, 0.96, 0.98)
    assert none.sentence() == "excludes the review (98.36 %)"


def test_five_published_answers():
    some = compare("mnist-collapse", 0.25, 0.2, 0.3)
    assert some.sentence() == (
        "agrees with the review’s best validation (24.45 %), does not exclude the review’s "
        "checkpoints (26.30 %), excludes the paper (98.7 %), the review (40 %) and ETH (10.30 %)"
    )
    assert some.short == (
        "undecided: review’s best validation or review’s checkpoints; excluded: paper, review and "
        "ETH"
    )
    assert compare("mnist-collapse", 0.27, 0.25, 0.29).verdict == "reproduced"
    assert compare("mnist-collapse", 0.6, 0.5, 0.7).verdict == "not reproduced"


def test_numbers_that_say_the_same_do_not_contradict_each_other():
    # All four lie inside; the paper's range has the other three, so there is one answer.
    wide = compare("mnist-accuracy", 0.989, 0.985, 0.993)
    assert (wide.verdict, wide.excluded) == ("reproduced", [])
    # The two that were measured at this λ are 0.1 points apart, and one is outside.
    narrow = compare("mnist-accuracy", 0.989, 0.9885, 0.9895)
    assert narrow.short == "reproduced: review and paper; excluded: ETH"
