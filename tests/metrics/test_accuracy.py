import torch

from pipeline.data.dataset import Split
from pipeline.metrics.evaluation import correct, predict
from tests.metrics.models import random_table_senn, senn, two_classes


def test_every_example_counts():
    # Predicts class 0 where the feature is positive; 257 is no multiple of any batch size.
    model = senn(lambda x: two_classes(torch.ones_like(x)))
    x = torch.ones(257, 1)
    x[::3] = -1
    y = torch.zeros(257, dtype=torch.int64)
    assert correct(model, Split(x, y)).sum() == 171
    y[-1] = 1  # the last example, in an incomplete batch
    assert correct(model, Split(x, y)).sum() == 170


def test_prediction_is_the_largest_logit():
    model, x = random_table_senn(), torch.rand(230, 6)
    assert torch.equal(predict(model, x), model(x).logits.argmax(1))
