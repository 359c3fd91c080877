import itertools

import pytest
import torch

from pipeline.training.randomness import batch_order, generator

CPU = torch.device("cpu")


def draw(seed: int, stream: str, epoch: int) -> tuple[float, ...]:
    return tuple(torch.rand(8, generator=generator(seed, stream, epoch, CPU)).tolist())


def test_a_stream_follows_from_seed_name_and_epoch_alone():
    torch.manual_seed(0)
    first = draw(1, "noise", 1)
    torch.manual_seed(1)
    torch.rand(3)
    before = torch.get_rng_state()
    assert draw(1, "noise", 1) == first
    assert torch.equal(torch.get_rng_state(), before)


def test_streams_epochs_and_seeds_are_all_different():
    # "noise" in epoch 11 and "noise1" in epoch 1 too: names are not just strung together.
    keys = itertools.product([0, 1, 11, 2**32 - 1], ["order", "noise", "noise1"], [1, 11, 111])
    draws = [draw(*key) for key in keys]
    assert len(set(draws)) == len(draws)
    # Nor are they shifted copies of each other.
    values = [value for numbers in draws for value in numbers]
    assert len(set(values)) > 0.99 * len(values)


@pytest.mark.parametrize(("examples", "batch_size"), [(230, 50), (100, 20), (7, 7), (5, 1)])
def test_batches_are_a_permutation_without_the_incomplete_one(examples, batch_size):
    order = batch_order(3, 1, examples, batch_size)
    assert order.shape == (examples // batch_size, batch_size)
    drawn = order.flatten().tolist()
    assert len(set(drawn)) == len(drawn)
    assert min(drawn) >= 0 and max(drawn) < examples
    if examples % batch_size == 0:
        assert sorted(drawn) == list(range(examples))


def test_which_examples_are_left_out_changes_with_the_epoch():
    left_out = [
        set(range(23)) - set(batch_order(3, e, 23, 10).flatten().tolist()) for e in (1, 2, 3)
    ]
    assert left_out[0] != left_out[1] != left_out[2]


def test_every_epoch_and_seed_has_its_own_order():
    orders = {
        tuple(batch_order(seed, epoch, 50, 10).flatten().tolist())
        for seed in range(5)
        for epoch in range(5)
    }
    assert len(orders) == 25
    assert batch_order(3, 2, 50, 10).tolist() == batch_order(3, 2, 50, 10).tolist()


def test_every_place_is_as_likely():
    # Example 0's place in 4,000 orders of 4: 1,000 each, with a standard deviation of 27.4.
    places = [batch_order(seed, 1, 4, 1).flatten().tolist().index(0) for seed in range(4_000)]
    counts = torch.tensor(places).bincount(minlength=4)
    assert (counts - 1_000).abs().max() < 5 * 27.4


def test_an_order_does_not_depend_on_the_global_generator():
    torch.manual_seed(0)
    first = batch_order(3, 1, 50, 10)
    torch.manual_seed(1)
    assert torch.equal(batch_order(3, 1, 50, 10), first)


def test_batches_larger_than_the_data_are_none():
    assert batch_order(3, 1, 9, 10).shape == (0, 10)
