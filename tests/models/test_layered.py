import pytest
import torch
from torch import nn
from torch.testing import assert_close

from pipeline.core.errors import PipelineError
from pipeline.models.layered import LayeredSenn, WeightedSum, layered
from pipeline.models.parameterizers import Parameterizer
from pipeline.models.senn import Senn
from tests.metrics.models import SHAPES, experiment_senn, random_image_senn, random_table_senn, senn
from tests.models.textbook import ARCHITECTURES, random_batch

STANDARD = (
    nn.Conv2d, nn.Flatten, nn.Linear, nn.MaxPool2d, nn.ReLU, nn.Tanh, nn.Unflatten, WeightedSum
)  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_logits_of_the_experiments_models(name):
    model = experiment_senn(name).double()
    x = torch.randn(4, *SHAPES[name], generator=torch.Generator().manual_seed(1)).double()
    assert_close(layered(model)(x), model(x).logits)


@pytest.mark.parametrize("architecture", ARCHITECTURES.values(), ids=ARCHITECTURES.keys())
def test_every_architecture(architecture):
    model, x = architecture.senn(seed=3).double().eval(), random_batch(architecture, 5)
    network, output = layered(model), model(x)
    assert_close(network(x), output.logits)
    assert_close(network.concepts(x), output.concepts)
    assert_close(network.relevances(x), output.relevances)


@pytest.mark.parametrize("name", SHAPES)
def test_its_leaves_are_standard_layers_each_used_once(name):
    network = layered(experiment_senn(name))
    used: list[nn.Module] = []
    leaves = [module for module in network.modules() if not list(module.children())]
    for leaf in leaves:
        assert type(leaf) in STANDARD
        leaf.register_forward_hook(lambda module, *_: used.append(module))
    network(torch.zeros(2, *SHAPES[name]))
    assert len(used) == len(leaves) and set(used) == set(leaves)


@pytest.mark.parametrize("make", [random_table_senn, random_image_senn])
def test_it_has_the_models_weights_and_sees_them_change(make):
    model = make()
    network = layered(model)
    addresses = {parameter.data_ptr() for parameter in model.parameters()}
    assert {parameter.data_ptr() for parameter in network.parameters()} <= addresses
    x = torch.randn(3, *((6,) if make is random_table_senn else (1, 28, 28)))
    before = network(x)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5)
    assert_close(network(x), model(x).logits)
    assert not torch.allclose(network(x), before)


def test_the_model_stays_as_it_is():
    model = random_image_senn().requires_grad_(False)
    network = layered(model)
    assert isinstance(network, LayeredSenn) and not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert not any("weight" in name for name, _ in model.named_buffers())
    assert isinstance(model, Senn) and layered(model.train()).training


def test_other_modules_pass_through():
    model = nn.Sequential(nn.Linear(3, 2), nn.Sigmoid())
    assert layered(model) is model


def test_what_is_not_known_is_named():
    with pytest.raises(PipelineError, match="conceptizer FunctionConceptizer"):
        layered(senn(lambda x: x.unsqueeze(2)))
    model = random_table_senn()
    model.aggregator = torch.einsum
    with pytest.raises(PipelineError, match="aggregator einsum"):
        layered(model)
    model = random_table_senn()
    model.parameterizer = Parameterizer(6, 3, 0.0, [])
    with pytest.raises(PipelineError, match="parameterizer Parameterizer"):
        layered(model)
