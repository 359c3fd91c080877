import pytest
import torch

from pipeline.tokenizer.context import characters_holding, reach_holding

RELEVANCE = torch.tensor(
    [
        [0.0, 0.0, 8.0, 1.0, -1.0, 0.0],  # 8 + 1 of 10
        [-1.0, 2.0, 3.0, -4.0, 0.0, 0.0],  # 4 + 3 + 2 of 10; all three at the right are needed
        [5.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    ]
)


def test_by_hand():
    assert characters_holding(RELEVANCE).tolist() == [2, 3, 1, 0]
    assert reach_holding(RELEVANCE).tolist() == [1, 2, 3, 0]
    assert characters_holding(RELEVANCE, 0.8).tolist() == [1, 3, 1, 0]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_tenths_of_equal_relevance(share):
    """0.9 of ten equal numbers is nine of them, whatever rounding says."""
    assert characters_holding(torch.full((1, 10), 0.1), share).tolist() == [round(10 * share)]
