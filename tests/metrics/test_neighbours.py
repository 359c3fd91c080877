import math

import pytest
import torch

from pipeline.metrics import batches
from pipeline.metrics import neighbours as module
from pipeline.metrics.neighbours import (
    nearest,
    nearest_neighbours,
    neighbour_study,
    neighbours,
    within,
)


@pytest.fixture(params=[3, 512])
def chunk(request, monkeypatch):
    """Results must not depend on how many rows are held at once."""
    monkeypatch.setattr(module, "_CHUNK", request.param)
    monkeypatch.setattr(batches, "_NUMBERS", request.param)


@pytest.fixture
def images():
    return torch.randn(30, 1, 4, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("shape", [(5,), (1, 4, 4)])
def test_neighbours_are_those_within_the_radius(shape):
    torch.manual_seed(0)
    x, others = torch.rand(130, *shape), torch.rand(40, *shape)
    distances = [[math.dist(a.flatten(), b.flatten()) for b in others] for a in x]
    radius = float(torch.tensor(distances).median()) + 1e-5
    expected = torch.tensor(distances) <= radius
    assert torch.equal(neighbours(x, others, within(radius)), expected)


def test_equal_inputs_are_no_neighbours_but_any_distance_counts():
    x = torch.full((1, 784), 2.8)
    near = x.clone()
    near[0, 0] += 1e-4
    is_near = neighbours(x, torch.cat([x, near, x, x + 1]), within(0.5))
    assert is_near.tolist() == [[False, True, False, False]]


def test_nearest_are_the_closest_others_that_differ():
    x = torch.tensor([[0.0], [5.0]])
    others = torch.tensor([[0.0], [1.0], [-1.0], [5.0], [4.5], [100.0]])
    chosen = [[1, 2], [4, 1]]
    is_near = neighbours(x, others, nearest(2))
    assert [row.nonzero().flatten().tolist() for row in is_near] == [sorted(row) for row in chosen]
    assert neighbours(x[:1], torch.tensor([[0.0], [3.0]]), nearest(5)).tolist() == [[False, True]]


def test_which_are_nearest_does_not_depend_on_their_order():
    # Three others at the same distance, of which two are asked for: all.
    others = torch.tensor([[1.0], [-1.0], [1.0], [3.0]])
    for order in ([0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]):
        (is_near,) = neighbours(torch.zeros(1, 1), others[order], nearest(2))
        assert others[order][is_near].flatten().sort().values.tolist() == [-1, 1, 1]


def test_nearest_neighbours_are_the_nearest_others(images, chunk):
    nearest = nearest_neighbours(images, 4)
    for i in range(30):
        distances = [
            (math.dist(images[i].flatten().tolist(), images[j].flatten().tolist()), j)
            for j in range(30)
            if j != i
        ]
        assert nearest[i].tolist() == [j for _, j in sorted(distances)[:4]]


def test_duplicates_are_neighbours_but_nothing_is_its_own():
    x = torch.tensor([[0.0], [0.0], [5.0], [6.0]])
    assert nearest_neighbours(x, 1).squeeze(1).tolist() == [1, 0, 3, 2]


@pytest.fixture
def study_inputs(images):
    """Neighbours, concepts, relevances and predictions of 30 images."""
    generator = torch.Generator().manual_seed(2)
    concepts = torch.randn(30, 4, generator=generator)
    relevances = torch.randn(30, 4, 3, generator=generator)
    predictions = torch.randint(3, (30,), generator=generator)
    return nearest_neighbours(images, 5), concepts, relevances, predictions


class Textbook:
    """A field of the study by its definition, every example with a weight."""

    def __init__(self, field, near, concepts, relevances, predictions):
        self.pairs = []  # per example that counts: its near pairs and its far pairs
        for i in range(len(near)):
            vectors = concepts if field == "concepts" else relevances[:, :, predictions[i]]
            others = [j for j in range(len(near)) if j != i]
            if field == "within_class":
                others = [j for j in others if predictions[j] == predictions[i]]
            distances = {j: math.dist(vectors[i].tolist(), vectors[j].tolist()) for j in others}
            close = {j: distances[j] for j in near[i].tolist() if j in distances}
            if close:
                self.pairs.append((i, close, distances))

    def ratio(self, weights):
        """Ratio of mean distances; a pair weighs as much as both its ends together, multiplied."""
        sums = [0.0, 0.0, 0.0, 0.0]
        for i, *sides in self.pairs:
            for side, distances in enumerate(sides):
                for j, distance in distances.items():
                    weight = weights[i] * weights[j] / len(distances)
                    sums[2 * side] += weight * distance
                    sums[2 * side + 1] += weight
        near, near_weights, far, far_weights = sums
        return near / near_weights / (far / far_weights)


@pytest.mark.parametrize("field", ["relevances", "within_class", "concepts"])
def test_study_against_loops(study_inputs, field, chunk):
    distances = getattr(neighbour_study(*study_inputs), field)
    textbook = Textbook(field, *study_inputs)
    assert distances.ratio() == pytest.approx(textbook.ratio([1.0] * 30), rel=1e-5)

    # How much the ratio changes with every example's weight, by finite differences.
    step, changes = 1e-4, []
    for i in range(30):
        more, less = ([1 + sign * step * (j == i) for j in range(30)] for sign in (1, -1))
        changes.append((textbook.ratio(more) - textbook.ratio(less)) / (2 * step))
    assert distances.standard_error() == pytest.approx(math.hypot(*changes), rel=1e-4)


def test_the_standard_error_covers_the_truth_as_often_as_it_should():
    # Relevances have nothing to do with the input, so the ratio is 1 in truth. In 50 dimensions a
    # few examples are neighbours of many.
    generator = torch.Generator().manual_seed(4)
    covered = 0
    for _ in range(200):
        near = nearest_neighbours(torch.randn(100, 50, generator=generator), 5)
        relevances = torch.randn(100, 5, 1, generator=generator)
        distances = relevance_study(near, relevances, torch.zeros(100, dtype=int)).relevances
        covered += abs(distances.ratio() - 1) < 1.96 * distances.standard_error()
    assert 0.92 <= covered / 200 <= 0.99


def relevance_study(near, relevances, predictions):
    """A study of `relevances` (N, K, C) alone; concepts do not matter."""
    return neighbour_study(near, torch.zeros(len(near), 2), relevances, predictions)


def test_ratio_is_one_where_relevances_ignore_the_input():
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(400, 8, generator=generator)
    relevances = torch.randn(400, 5, 2, generator=generator)
    near = nearest_neighbours(x, 5)
    study = relevance_study(near, relevances, torch.zeros(400, dtype=int))
    assert study.relevances.ratio() == pytest.approx(1, abs=0.03)
    assert study.within_class.ratio() == pytest.approx(study.relevances.ratio())


def test_ratio_is_that_of_distances_where_relevances_are_the_input():
    x = torch.tensor([[0.0], [1.0], [10.0], [11.0]])
    near, predictions = nearest_neighbours(x, 1), torch.zeros(4, dtype=int)
    study = neighbour_study(near, 3 * x, x.unsqueeze(-1), predictions)
    # 1 to the neighbour; to the others (1 + 10 + 11) / 3 or (1 + 9 + 10) / 3.
    assert study.relevances.ratio() == pytest.approx(1 / 7)
    assert study.concepts.ratio() == pytest.approx(1 / 7)


def test_within_class_only_the_same_prediction_counts():
    # Neighbours 0-1 and 2-3 have the same input, but 1 is predicted differently from 0.
    x = torch.tensor([[0.0], [0.1], [9.0], [9.1], [9.3]])
    predictions = torch.tensor([0, 1, 0, 0, 0])
    relevances = torch.tensor([0.0, 100.0, 1.0, 1.5, 4.0]).view(-1, 1, 1).expand(-1, 1, 2)
    study = relevance_study(nearest_neighbours(x, 1), relevances, predictions)
    # 2→3, 3→2, 4→3 against all others of class 0, for those three.
    near = (0.5 + 0.5 + 2.5) / 3
    far = ((1 + 0.5 + 3) / 3 + (1.5 + 0.5 + 2.5) / 3 + (4 + 3 + 2.5) / 3) / 3
    assert study.within_class.ratio() == pytest.approx(near / far)


def test_no_ratio_where_all_are_the_same(images):
    same = torch.full((30, 4, 2), 0.1)
    near, predictions = nearest_neighbours(images, 3), torch.zeros(30, dtype=int)
    study = neighbour_study(near, same[..., 0], same, predictions)
    for distances in (study.relevances, study.within_class, study.concepts):
        assert distances.ratio() is None
        assert distances.standard_error() is None


def test_neighbours_with_equal_relevances_have_ratio_0():
    x = torch.tensor([[0.0], [0.0], [5.0], [5.0]])
    near, predictions = nearest_neighbours(x, 1), torch.zeros(4, dtype=int)
    distances = relevance_study(near, x.unsqueeze(-1), predictions).relevances
    assert (distances.ratio(), distances.standard_error()) == (0, 0)
