import pytest
import torch

from pipeline.models.logits import logits, target_logit
from tests.metrics.models import random_image_senn, random_table_senn


@pytest.mark.parametrize(
    ("model", "shape"), [(random_table_senn(), (6,)), (random_image_senn(), (1, 28, 28))]
)
def test_logits_are_the_models(model, shape):
    x = torch.rand(4, *shape)
    torch.testing.assert_close(logits(model, x), model(x).logits)


def test_logits_of_any_module():
    model, x = torch.nn.Linear(6, 3), torch.rand(4, 6)
    assert torch.equal(logits(model, x), model(x))
    assert target_logit(model, x, torch.tensor([2, 0, 1, 1])).tolist() == [
        model(x)[i, c].item() for i, c in enumerate((2, 0, 1, 1))
    ]
