import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from pipeline.study.measured import rounding_spread
from pipeline.training.randomness import jitter


def test_the_spread_of_two_sources_of_noise_is_told_apart():
    """Seeds of standard deviation 3 points, roundings of 1 point each time."""
    random, seeds = np.random.default_rng(0), 20_000
    of_seed = 0.8 + 0.03 * random.standard_normal(seeds)
    table = pd.DataFrame(
        {
            "seed": range(seeds),
            "accuracy": of_seed + 0.01 * random.standard_normal(seeds),
            "accuracy_jittered": of_seed + 0.01 * random.standard_normal(seeds),
        }
    )
    rounding, together = rounding_spread(table)
    assert rounding == pytest.approx(0.01, rel=0.02)
    assert together == pytest.approx(math.hypot(0.03, 0.01), rel=0.02)


def test_jitter_moves_every_weight_by_a_last_bit_or_two():
    model, before = nn.Linear(40, 30), []
    before = [weight.detach().clone() for weight in model.parameters()]
    jitter(model, seed=5)
    for weight, old in zip(model.parameters(), before, strict=True):
        moved = (weight.detach().double() / old.double() - 1).abs()
        assert (moved > 0).all()
        assert (moved <= 1e-7 + 2**-24).all()  # then rounded to float32
    again = nn.Linear(40, 30)
    again.load_state_dict(dict(zip(("weight", "bias"), before, strict=True)))
    jitter(again, seed=5)
    assert torch.equal(again.weight, model.weight)
    assert torch.equal(again.bias, model.bias)
    jitter(again, seed=6)
    assert not torch.equal(again.weight, model.weight)
