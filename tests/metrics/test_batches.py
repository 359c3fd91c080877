import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from benchmarks.launches import Launches
from pipeline.core.params import load_params
from pipeline.metrics import batches
from pipeline.metrics.batches import in_batches, rows
from pipeline.metrics.evaluation import residual_norm
from pipeline.models.building import Inputs, build_senn
from tests.conftest import REPOSITORY

PARAMS = load_params(REPOSITORY / "params.yaml")
IMAGES = torch.rand(700, 1, 28, 28, generator=torch.Generator().manual_seed(0))


def test_rows_are_what_fits_and_at_least_one():
    assert rows(3 * 28 * 28, IMAGES) == rows(4 * 28 * 28 - 1, IMAGES) == 3
    assert rows(5, IMAGES) == 1


def test_a_gpu_gets_more_at_once():
    with FakeTensorMode():
        there = torch.empty(2, 1, 28, 28, device="cuda")
    assert rows(28 * 28, there) == 50 * rows(28 * 28, IMAGES)


@pytest.mark.parametrize("function", [lambda x: x.sum((1, 2, 3)), lambda x: x.flatten(1)])
def test_batches_make_no_difference(function):
    assert torch.equal(in_batches(function, IMAGES), function(IMAGES))


def test_launches_do_not_grow_with_the_images_in_the_batches_of_a_gpu(monkeypatch):
    name = "mnist_senn"
    model = build_senn(name, PARAMS.experiment(name), PARAMS.vae, Inputs((1, 28, 28), 0, 1), 0)

    def launches(examples: int) -> tuple[int, torch.Tensor]:
        with Launches() as counted:
            norms = residual_norm(model.eval(), IMAGES[:examples])
        return counted.count, norms

    on_cpu, expected = launches(len(IMAGES))
    monkeypatch.setattr(batches, "capacity", lambda device: 50)
    few, many = launches(100)[0], launches(len(IMAGES))
    assert few == many[0] < on_cpu / 5
    torch.testing.assert_close(many[1], expected)
