"""What was published, and how far from it a study is."""

import numpy as np
import pytest

from pipeline.study.definitions import Definition
from pipeline.study.published import (
    PAPER,
    PUBLISHED_CURVES,
    PublishedLoss,
    nearness,
    published_losses,
)
from tests.study.tables import LAMBDAS
from tests.study.worlds import falling, study


def test_published_losses_of_compas():
    review, paper = published_losses("compas_senn", LAMBDAS)
    assert (review.source, review.lambdas) == ("review", LAMBDAS[1:])
    # The review's validation accuracies at λ = 1e-4 and 1, means of its three seeds.
    before, after = (0.8 + 0.81 + 0.775) / 3, (0.6625 + 0.615 + 0.6375) / 3
    assert review.high[-1] == review.low[-1] == pytest.approx(before - after)
    assert (paper.source, paper.lambdas) == ("paper", (1.0,))
    assert paper.low == paper.high == (pytest.approx(0.04),)


def test_published_range_allows_its_width():
    review, eth, paper = published_losses("mnist_senn", (1e-4, 1e-2, 1.0))
    # Test accuracies: of the review's checkpoints, not its best validation.
    assert review.low == review.high == pytest.approx((0.0066, 0.7259))
    assert (eth.source, eth.low) == ("ETH", pytest.approx((0.0031, 0.8869)))
    assert paper.lambdas == (1e-2, 1.0)
    assert paper.low == pytest.approx((-0.004, -0.004))
    assert paper.high == pytest.approx((0.004, 0.004))


def test_a_grid_without_the_published_start_cannot_be_compared():
    assert any(curve.label == PAPER for curve in PUBLISHED_CURVES)
    assert published_losses("compas_senn", (5e-4, 1.0)) == []
    assert published_losses("my_own", LAMBDAS) == []


def test_distance_is_a_root_mean_square_in_points():
    world = study({Definition("paper2018", "batch"): falling(0.1)})
    published = PublishedLoss("paper", (1e-2, 1.0), (0.02, -0.01), (0.02, 0.03))
    (only,) = nearness(world, published)
    # Lost 5 and 10 points: 3 and 7 too many.
    assert only.distance.mean == pytest.approx(np.sqrt((3**2 + 7**2) / 2))
    assert not only.inside


def test_loss_is_that_of_verdicts():
    definition = Definition("paper2018", "batch")
    here = study({definition: falling(0.1)}).lost_at(definition, 1.0)
    # All seeds lose the same: what remains is two test sets' ± 0.2 points, 95 % intervals.
    assert here == pytest.approx((0.1, 0.1 - 0.002 * 2**0.5, 0.1 + 0.002 * 2**0.5))
