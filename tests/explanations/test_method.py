import dataclasses

import torch

from pipeline.core.dataset import Split
from pipeline.explanations.method import Background
from tests.metrics.data import dataset


def test_background_of_data():
    x = torch.tensor([[1.0, 5.0], [2.0, 6.0], [3.0, 0.0], [9.0, 7.0]])
    train = Split(x, torch.tensor([0, 1, 0, 1]))
    data = dataclasses.replace(dataset((2,), 2), train=train, low=-1.0, high=9.0)
    background = Background.of(data)
    assert background.baseline.tolist() == [2.0, 5.0]  # lower medians
    assert (background.low, background.high) == (-1.0, 9.0)
