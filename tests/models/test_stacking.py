import pytest
import torch
from torch.testing import assert_close

from pipeline.models.stacking import on_row, stacked_weights, unstack, views
from tests.models.textbook import DIGITS, DIGITS_VAE, TABLE_7, random_batch

CPU = torch.device("cpu")


@pytest.fixture(params=[TABLE_7, DIGITS, DIGITS_VAE], ids=["table", "conv", "vae"])
def models(request):
    return [request.param.senn(seed) for seed in range(6)]


def test_unstacks_what_was_stacked(models):
    weights = stacked_weights(models, CPU)
    for row, model in zip(weights, models, strict=True):
        unstacked, expected = unstack(models[0], row), model.state_dict()
        assert unstacked.keys() == expected.keys()
        assert all(torch.equal(unstacked[name], value) for name, value in expected.items())


def test_parameters_begin_at_whole_cache_lines(models):
    weights = stacked_weights(models, CPU)
    for view in views(models[0], weights).values():
        assert len(view) == len(models)
        assert all((row.data_ptr() - weights.data_ptr()) % 256 == 0 for row in view)


def test_a_model_on_a_row_is_the_model_and_follows_it():
    models = [TABLE_7.senn(seed) for seed in range(3)]
    weights, x = stacked_weights(models, CPU), random_batch(TABLE_7, 5).float()
    on_rows = [on_row(models[0], row) for row in weights]
    for one, other in zip(on_rows, models, strict=True):
        assert_close(one(x)[:4], other(x)[:4])
    weights[1].zero_()
    assert [bool(senn(x).logits.any()) for senn in on_rows] == [True, False, True]
    assert models[1](x).logits.any()  # the models they were made of keep their own
