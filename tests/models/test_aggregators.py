import torch

from pipeline.models.aggregators import AGGREGATORS, sum_aggregator


def test_sum_of_contributions():
    concepts = torch.tensor([[1.0, 2.0], [0.0, -1.0]])
    relevances = torch.tensor(
        [[[1.0, 0.0, 3.0], [4.0, 5.0, -6.0]], [[7.0, 7.0, 7.0], [1.0, 2.0, 3.0]]]
    )
    expected = [[1 + 8, 10, 3 - 12], [-1, -2, -3]]
    assert sum_aggregator(concepts, relevances).tolist() == expected
    assert AGGREGATORS["sum"] is sum_aggregator
