import math

import pytest
import torch

from pipeline.explanations import neighbours
from pipeline.explanations.neighbours import nearest_neighbours, neighbour_study


@pytest.fixture(params=[3, 512])
def chunk(request, monkeypatch):
    """Results must not depend on how many rows are held at once."""
    monkeypatch.setattr(neighbours, "_CHUNK", request.param)


@pytest.fixture
def images():
    return torch.randn(30, 1, 4, 4, generator=torch.Generator().manual_seed(0))


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


def test_too_few_examples():
    with pytest.raises(ValueError, match="5 neighbours need more than 5 examples, got 5"):
        nearest_neighbours(torch.zeros(5, 2), 5)


def test_study_against_loops(images, chunk):
    generator = torch.Generator().manual_seed(2)
    relevances = torch.randn(30, 4, 3, generator=generator)
    predictions = torch.randint(3, (30,), generator=generator)
    near = nearest_neighbours(images, 5)
    study = neighbour_study(near, relevances, predictions)

    def distance(i, j):
        label = int(predictions[i])
        return math.dist(relevances[i, :, label].tolist(), relevances[j, :, label].tolist())

    def mean(values):
        return sum(values) / len(values) if values else math.nan

    for i in range(30):
        others = [j for j in range(30) if j != i]
        same = [j for j in others if predictions[j] == predictions[i]]
        near_same = [j for j in near[i].tolist() if predictions[j] == predictions[i]]
        for field, members in (
            (study.to_neighbours, near[i].tolist()),
            (study.to_others, others),
            (study.to_neighbours_within_class, near_same),
            (study.to_others_within_class, same),
        ):
            expected = mean([distance(i, j) for j in members])
            assert field[i].item() == pytest.approx(expected, rel=1e-5, nan_ok=True)


def test_ratio_is_one_where_relevances_ignore_the_input():
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(400, 8, generator=generator)
    relevances = torch.randn(400, 5, 2, generator=generator)
    study = neighbour_study(nearest_neighbours(x, 5), relevances, torch.zeros(400, dtype=int))
    assert study.ratio() == pytest.approx(1, abs=0.03)
    assert study.ratio_within_class() == pytest.approx(study.ratio())


def test_ratio_is_that_of_distances_where_relevances_are_the_input():
    x = torch.tensor([[0.0], [1.0], [10.0], [11.0]])
    study = neighbour_study(nearest_neighbours(x, 1), x.unsqueeze(-1), torch.zeros(4, dtype=int))
    # 1 to the neighbour; to the others (1 + 10 + 11) / 3 or (1 + 9 + 10) / 3.
    assert study.ratio() == pytest.approx(1 / 7)


def test_within_class_only_the_same_prediction_counts():
    # Neighbours 0-1 and 2-3 have the same input, but 1 is predicted differently from 0.
    x = torch.tensor([[0.0], [0.1], [9.0], [9.1], [9.3]])
    predictions = torch.tensor([0, 1, 0, 0, 0])
    relevances = torch.tensor([0.0, 100.0, 1.0, 1.5, 4.0]).view(-1, 1, 1).expand(-1, 1, 2)
    study = neighbour_study(nearest_neighbours(x, 1), relevances, predictions)
    assert study.to_neighbours_within_class.isnan().tolist() == [True, True, False, False, False]
    # 2→3, 3→2, 4→3 against all others of class 0, for those three.
    near = (0.5 + 0.5 + 2.5) / 3
    far = ((1 + 0.5 + 3) / 3 + (1.5 + 0.5 + 2.5) / 3 + (4 + 3 + 2.5) / 3) / 3
    assert study.ratio_within_class() == pytest.approx(near / far)


def test_no_ratio_where_all_relevances_are_the_same(images):
    predictions = torch.zeros(30, dtype=int)
    study = neighbour_study(nearest_neighbours(images, 3), torch.ones(30, 4, 2), predictions)
    assert study.ratio() is None
    assert study.ratio_within_class() is None
