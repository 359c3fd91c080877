import numpy as np
import pytest

from pipeline.reporting.examples import Example, arithmetic, reason

NAMES = ["Age above 45", "Female", "Priors", "Other race"]


def example(contributions, contrast=(0.0,) * 4, truth="Low", probability=0.9) -> Example:
    return Example(
        x=np.zeros(4),
        truth=truth,
        prediction="Low",
        contrast="High",
        probability=probability,
        concepts=np.ones(4),
        relevances=np.array(contributions),
        contributions=np.array(contributions),
        contrast_contributions=np.array(contrast),
    )


@pytest.mark.parametrize(
    ("contributions", "words"),
    [
        ((2.0, 0.1, 0, 0), "rightly, mainly because of Age above 45 (+2.00)."),
        # 1 of 2 is half, 1.7 of 2 more than four fifths.
        ((0.7, 1, 0, 0.3), "rightly, mainly because of Female (+1.00) and Age above 45 (+0.70)."),
        (
            (1, 1, 1, 1),
            "rightly, mainly because of Age above 45 (+1.00), Female (+1.00) and Priors (+1.00).",
        ),
        (
            (2, -0.5, 0, -0.1),
            "rightly, mainly because of Age above 45 (+2.00); Female (−0.50) speaks most against "
            "it.",
        ),
        ((2, -0.3, 0, 0), "rightly, mainly because of Age above 45 (+2.00)."),
        ((0, -0.3, 0, -1), "rightly, only because still less speaks for High."),
        (
            (0, 0, 0, 0),
            "rightly, by default: every contribution is 0, so all classes are equally probable.",
        ),
    ],
)
def test_reason(contributions, words):
    assert reason(example(contributions), NAMES) == f"The model says Low (90.0 %), {words}"


def test_an_error_is_said():
    said = reason(example((1, 0, 0, 0), truth="High"), NAMES)
    assert said.startswith("The model says Low (90.0 %), wrongly (High), mainly")


def test_the_way_from_contributions_to_the_probability():
    """Two classes: p = 1 / (1 + exp(-(1.5 + 0.7)))."""
    p = float(1 / (1 + np.exp(-2.2)))
    assert arithmetic(example((2, -0.5, 0, 0), (-0.5, -0.2, 0, 0), probability=p)) == (
        "The contributions add up to 1.50, the logit of Low; that of High is −0.70. The softmax of "
        "all logits gives Low a probability of 90.0 %."
    )
