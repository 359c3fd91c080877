"""Every method on every architecture, in small: one call shape, and nothing left behind."""

import pytest
import torch
from torch import nn

from pipeline.explanations import perturbation
from pipeline.explanations.method import Background
from pipeline.explanations.methods import FEED_FORWARD, METHODS, methods_for
from pipeline.models.senn import Senn
from pipeline.models.words import RecurrentParameterizer, WordsConceptizer
from tests.metrics.models import SHAPES, experiment_senn
from tests.training.grids import SMOKE

TARGET = torch.tensor([1, 0, 1])


def background_of(shape: tuple[int, ...]) -> Background:
    return Background(torch.full(shape, 0.25), torch.tensor(0.0), torch.tensor(1.0))


BACKGROUND = {shape: background_of(shape) for shape in set(SHAPES.values())}


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    """How many draws there are is no matter here."""
    monkeypatch.setattr(perturbation, "SHAPLEY_PERMUTATIONS", 3)
    monkeypatch.setattr(perturbation, "KERNEL_SHAP_SAMPLES", 100)
    monkeypatch.setattr(perturbation, "LIME_SAMPLES", 100)


def random_inputs(name: str) -> torch.Tensor:
    return torch.rand(3, *SHAPES[name], generator=torch.Generator().manual_seed(1))


def state(model: nn.Module) -> tuple[object, ...]:
    """All of a model that a method could leave changed, to compare."""
    weights = {name: value.numpy().tobytes() for name, value in model.state_dict().items()}
    gradients = [(value.requires_grad, value.grad) for value in model.parameters()]
    modules = [
        (module.training, sorted(vars(module)), [len(hooks) for hooks in all_hooks(module)])
        for module in model.modules()
    ]
    return weights, gradients, modules


def all_hooks(module: nn.Module) -> tuple[dict, ...]:
    return (
        module._forward_hooks,
        module._forward_pre_hooks,
        module._backward_hooks,
        module._backward_pre_hooks,
    )


@pytest.mark.parametrize("experiment", SHAPES)
@pytest.mark.parametrize("name", METHODS)
def test_every_method_on_every_experiment(experiment, name):
    # In float64, or rounding decides where a search for a root ends.
    model = experiment_senn(experiment, SMOKE).double()
    x, method = random_inputs(experiment).double(), METHODS[name]
    assert name in methods_for(model)
    background = BACKGROUND[SHAPES[experiment]]
    explain = method.build(background._replace(baseline=background.baseline.double()))
    before, x_before, draws = state(model), x.clone(), torch.random.get_rng_state()
    attributions = explain(model, x, TARGET)

    concepts = (len(x), SMOKE.experiments[experiment].num_concepts)
    assert attributions.shape == (concepts if method.speaks_of == "concepts" else x.shape)
    assert attributions.dtype == x.dtype
    assert attributions.isfinite().all()
    assert (attributions.flatten(1).std(1) > 0).all()

    # An example's attributions are its own.
    alone = torch.cat([explain(model, x[i : i + 1], TARGET[i : i + 1]) for i in (0, 2)])
    scale = attributions.abs().max()
    torch.testing.assert_close(attributions[[0, 2]] / scale, alone / scale, rtol=1e-4, atol=1e-5)

    assert state(model) == before
    assert torch.equal(x, x_before)
    assert not x.requires_grad
    assert torch.equal(torch.random.get_rng_state(), draws)


@pytest.mark.parametrize("name", methods_for(nn.Sequential()))
def test_any_module_of_layers_is_left_as_it_was(name):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2)).eval()
    model[0].weight.requires_grad_(False)
    x, background = torch.rand(3, 4), background_of((4,))
    before = state(model)
    assert METHODS[name].build(background)(model, x, TARGET).shape == x.shape
    assert state(model) == before


@pytest.mark.parametrize("name", METHODS)
def test_computed_without_gradients_too(name):
    model, x = experiment_senn("compas_senn", SMOKE), random_inputs("compas_senn")
    explain = METHODS[name].build(BACKGROUND[(11,)])
    expected = explain(model, x, TARGET).detach()
    with torch.no_grad():
        torch.testing.assert_close(explain(model, x, TARGET), expected)


def test_self_explaining_methods_need_a_senn():
    others = METHODS.keys() - methods_for(nn.Sequential()).keys()
    assert others == {"relevance", "contribution", "pull_back"}


@pytest.mark.parametrize("name", ["gru", "lstm"])
def test_recurrent_layers_have_methods_of_their_own(name):
    torch.manual_seed(0)
    shape, parts = (5, 4), (5, 3, 0.0, name, 6, True)
    model = Senn(WordsConceptizer(shape, 5), RecurrentParameterizer(shape, *parts)).eval()
    x, target = torch.randn(2, *shape), torch.tensor([1, 2])
    x[0, 3:] = 0  # a text of three words
    methods = methods_for(model)
    assert methods.keys() == METHODS.keys() - set(FEED_FORWARD)
    for method in methods.values():
        if method.family == "propagation":
            continue  # tests/explanations/relprop
        explain = method.build(Background(torch.zeros(shape), x.amin(), x.amax()))
        attributions = explain(model, x, target)
        assert attributions.shape == (x.shape if method.speaks_of == "inputs" else x.shape[:2])
        assert (attributions[0, 3:] == 0).all()
        if method.name not in (
            "pull_back",
            "taylor_segment",
        ):  # gradients of presence, and of no text
            assert (attributions[0, :3] != 0).all()


def test_enough_methods_and_families_stand_together():
    families = [method.family for method in METHODS.values()]
    assert families == sorted(families, key=list(dict.fromkeys(families)).index)
    assert all(name == method.name for name, method in METHODS.items())
    labels = [method.label for method in METHODS.values()]
    assert len(set(labels)) == len(labels) >= 12
