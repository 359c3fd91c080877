import numpy as np
import pytest

from pipeline.rivals.search import Budget, maximise

CENTRES = np.random.default_rng(5).random((6, 4))


def hills(points):
    """One peak each, of height 1, somewhere in the unit cube."""
    return np.exp(-4 * np.square(points - CENTRES[:, None]).sum(2))


def test_finds_a_known_maximum():
    found = maximise(hills, 6, 4, Budget(200, 10))
    assert found.max() <= 1
    assert found.min() > 0.97


def test_finds_a_maximum_in_a_corner():
    found = maximise(lambda points: points.sum(2), 3, 5, Budget(200, 10))
    assert found.min() > 4.6


def test_is_better_than_random_points():
    points = np.random.default_rng(3).random((6, 200, 4))
    assert (maximise(hills, 6, 4, Budget(200, 5)) > hills(points).max(1)).all()


@pytest.mark.parametrize(("evaluations", "rounds"), [(40, 5), (7, 3), (5, 5), (4, 1)])
def test_spends_its_budget_inside_the_cube(evaluations, rounds):
    seen = []

    def function(points):
        assert points.min() >= 0 and points.max() <= 1
        seen.append(points.shape[1])
        return points.sum(2)

    maximise(function, 2, 3, Budget(evaluations, rounds))
    assert sum(seen) == evaluations
    assert len(seen) <= rounds


def test_a_constant_is_its_own_maximum():
    assert maximise(
        lambda points: np.full(points.shape[:2], 2.0), 3, 2, Budget(20, 4)
    ).tolist() == ([2.0] * 3)


def test_functions_do_not_disturb_each_other():
    def two(points):
        values = hills(points)
        values[3:] *= 1000
        return values

    np.testing.assert_array_equal(
        maximise(hills, 6, 4, Budget(60, 6))[:3], maximise(two, 6, 4, Budget(60, 6))[:3]
    )
