"""The search finds known maxima; its posterior and likelihood are scikit-learn's."""

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RationalQuadratic

from pipeline.rivals.search import (
    JITTER,
    LENGTHS,
    kernel,
    likeliest_length,
    maximise,
    posterior,
)

CENTRES = np.random.default_rng(5).random((6, 4))


def hills(points):
    """One peak each, of height 1, somewhere in the unit cube."""
    return np.exp(-4 * np.square(points - CENTRES[:, None]).sum(2))


def test_finds_a_known_maximum():
    found = maximise(hills, 6, 4, 200, 10)
    assert found.max() <= 1
    assert found.min() > 0.97


def test_finds_a_maximum_in_a_corner():
    found = maximise(lambda points: points.sum(2), 3, 5, 200, 10)
    assert found.min() > 4.6


def test_is_better_than_random_points():
    points = np.random.default_rng(3).random((6, 200, 4))
    assert (maximise(hills, 6, 4, 200, 5) > hills(points).max(1)).all()


@pytest.mark.parametrize(("evaluations", "rounds"), [(40, 5), (7, 3), (5, 5), (4, 1)])
def test_spends_its_budget_inside_the_cube(evaluations, rounds):
    seen = []

    def function(points):
        assert points.min() >= 0 and points.max() <= 1
        seen.append(points.shape[1])
        return points.sum(2)

    maximise(function, 2, 3, evaluations, rounds)
    assert sum(seen) == evaluations
    assert len(seen) <= rounds


def test_a_constant_is_its_own_maximum():
    assert maximise(lambda points: np.full(points.shape[:2], 2.0), 3, 2, 20, 4).tolist() == (
        [2.0] * 3
    )


def test_functions_do_not_disturb_each_other():
    def two(points):
        values = hills(points)
        values[3:] *= 1000
        return values

    np.testing.assert_array_equal(maximise(hills, 6, 4, 60, 6)[:3], maximise(two, 6, 4, 60, 6)[:3])


def sklearns(points, values, length):
    shape = RationalQuadratic(length_scale=length, alpha=1.0)
    return GaussianProcessRegressor(shape, alpha=JITTER, optimizer=None).fit(points, values)


@pytest.fixture
def known():
    generator = np.random.default_rng(0)
    points, asked = generator.random((3, 25, 4)), generator.random((3, 40, 4))
    return points, np.sin(3 * points.sum(2)), asked, np.array([0.3, 0.8, 2.0])


def test_posterior_is_scikit_learns(known):
    points, values, asked, length = known
    mean, variance = posterior(points, values, asked, length)
    for i in range(3):
        theirs, deviation = sklearns(points[i], values[i], length[i]).predict(asked[i], True)
        np.testing.assert_allclose(mean[i], theirs, atol=1e-6)
        np.testing.assert_allclose(variance[i], deviation**2, atol=1e-6)


def test_at_known_points_nothing_is_left_to_learn(known):
    points, values, _, length = known
    mean, variance = posterior(points, values, points, length)
    np.testing.assert_allclose(mean, values, atol=0.01)
    assert variance.max() < 1e-5


def test_the_likeliest_length_is_that_of_the_highest_likelihood(known):
    points, values, *_ = known
    chosen = likeliest_length(points, values)
    lengths = np.array(LENGTHS) * 2
    for i in range(3):
        evidence = [
            sklearns(points[i], values[i], length).log_marginal_likelihood_value_
            for length in lengths
        ]
        assert chosen[i] == lengths[np.argmax(evidence)]


def test_the_likeliest_length_is_that_of_the_draw():
    generator = np.random.default_rng(1)
    points = generator.random((20, 60, 2))
    for length in np.array(LENGTHS[:3]) * 2**0.5:
        covariance = kernel(points, points, np.full(20, length)) + JITTER * np.eye(60)
        noise = generator.standard_normal((20, 60, 1))
        values = (np.linalg.cholesky(covariance) @ noise)[:, :, 0]
        assert np.median(likeliest_length(points, values)) == pytest.approx(length)
