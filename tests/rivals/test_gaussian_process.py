"""The posterior and the likelihood are scikit-learn's."""

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RationalQuadratic

from pipeline.rivals.gaussian_process import JITTER, LENGTHS, kernel, likeliest_length, posterior


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
