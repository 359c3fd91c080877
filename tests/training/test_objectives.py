import itertools

import pytest
import torch
from torch.distributions import Normal, kl_divergence
from torch.nn import functional as F
from torch.testing import assert_close
from torch.utils._pytree import tree_map

from pipeline.core.params import Experiment, load_params
from pipeline.models.conceptizers import Latent
from pipeline.training.objectives import (
    Objective,
    cross_entropy,
    kl_to_standard_normal,
    reconstruction_error,
    vae_loss,
)
from pipeline.training.robustness import draw_probes
from tests.conftest import REPOSITORY
from tests.models.textbook import DIGITS, DIGITS_VAE, TABLE_7, Architecture, random_batch, stack
from tests.training import textbook

SMOKE = load_params(REPOSITORY / "presets/smoke.yaml")
MEAN, STD = 0.1307, 0.3081


def objective(name: str, robustness: dict | None = None, **changes) -> Objective:
    """The loss of smoke experiment `name` with some of its params changed."""
    experiment = Experiment.model_validate({**SMOKE.experiments[name].model_dump(), **changes})
    settings = SMOKE.robustness.model_copy(update=robustness or {"probes": "exact"})
    return Objective(experiment, settings, SMOKE.vae)


def classes_of(architecture: Architecture, examples: int) -> torch.Tensor:
    return torch.arange(examples) % architecture.classes


# --- the total ---------------------------------------------------------------------------------


@pytest.mark.parametrize("reduction", ["batch", "example"])
@pytest.mark.parametrize("variant", ["paper2018", "review2020", "authors2018"])
@pytest.mark.parametrize(
    ("architecture", "name"),
    [(TABLE_7, "compas_senn"), (DIGITS, "mnist_senn"), (DIGITS_VAE, "mnist_disenn")],
)
def test_total_is_the_weighted_sum_of_its_terms(architecture, name, variant, reduction):
    senn, network = architecture.senn().double(), architecture.textbook().double()
    x, y = random_batch(architecture, 6), classes_of(architecture, 6)
    noise = senn.draw_noise(6, torch.Generator().manual_seed(0))
    robustness = {"variant": variant, "reduction": reduction, "probes": "exact"}
    loss = objective(name, robustness, concept_reg=0.7)
    robust_reg = torch.tensor(0.3, dtype=torch.float64)
    total, classification, robust, concept = loss(senn, robust_reg, x, y, noise, None)

    output = network(x, noise.masks, noise.latent)
    log_probabilities = output.logits - output.logits.exp().sum(1, keepdim=True).log()
    expected = -log_probabilities[torch.arange(6), y].mean()
    assert_close(classification, expected)
    assert_close(robust, textbook.robustness_loss(network, x, variant, reduction, noise.masks))
    error = ((output.reconstruction - x) ** 2).mean()
    if architecture is DIGITS_VAE:
        mean, logvar = output.mean, output.logvar
        kl = -0.5 * (1 + logvar - mean**2 - logvar.exp()).sum(1).mean()
        assert_close(concept, error + 4.0 * kl)
    else:
        assert_close(concept, error + 2e-5 * output.concepts.abs().sum())
    assert_close(total, classification + 0.3 * robust + 0.7 * concept)


def test_probes_are_passed_on():
    senn, network = DIGITS.senn().double(), DIGITS.textbook().double()
    x, y = random_batch(DIGITS, 6), classes_of(DIGITS, 6)
    probes = draw_probes((6, 2, DIGITS.classes), torch.Generator().manual_seed(0)).double()
    loss = objective("mnist_senn", {"reduction": "example", "probes": 2})
    losses = loss(senn, torch.tensor(0.3), x, y, None, probes)
    expected = textbook.robustness_loss(
        network, x, "review2020", "example", None, probes.movedim(1, 0)
    )
    assert_close(losses.robustness, expected)


def test_zero_weights_leave_the_classification():
    senn = DIGITS.senn().double()
    loss = objective("mnist_senn", concept_reg=0.0)
    x, y = random_batch(DIGITS, 6), classes_of(DIGITS, 6)
    losses = loss(senn, torch.tensor(0.0), x, y, None, None)
    assert_close(losses.total, F.cross_entropy(senn(x).logits, y))
    assert losses.robustness > 0 and losses.concept > 0


# --- concept losses ----------------------------------------------------------------------------


def test_sparsity_is_a_sum_over_the_batch():
    # As published: the reconstruction error is a mean, so ξ weighs more in larger batches.
    senn, x = DIGITS.senn().double(), random_batch(DIGITS, 4)

    def sparsity(repeats: int) -> float:
        batch = x.repeat(repeats, 1, 1, 1)
        with_xi, without = (
            objective("mnist_senn", sparsity_reg=xi).concept_loss(senn, senn(batch), batch)
            for xi in (0.5, 0.0)
        )
        return (with_xi - without).item()

    assert sparsity(1) == pytest.approx(0.5 * senn(x).concepts.abs().sum().item())
    assert sparsity(3) == pytest.approx(3 * sparsity(1))


@pytest.mark.parametrize("objective_name", ["review2020", "elbo"])
@pytest.mark.parametrize("target", ["review2020", "unit"])
@pytest.mark.parametrize("beta", [0.0, 1.0, 4.0])
def test_vae_loss_of_every_objective_and_target(objective_name, target, beta):
    architecture = DIGITS_VAE.with_(target=target, mean=MEAN, std=STD)
    vae, network = architecture.senn().conceptizer.double(), architecture.textbook().double()
    pixels = torch.rand(5, 1, 28, 28, dtype=torch.float64)
    x = (pixels - MEAN) / STD
    noise = vae.draw_noise(5, torch.Generator().manual_seed(0))

    mean, logvar = network.posterior(x)
    sigmoid = network.decoder(mean + torch.exp(logvar / 2) * noise).view(5, 1, 28, 28)
    aim = x if target == "review2020" else pixels
    squares = (sigmoid - aim) ** 2
    error = squares.mean() if objective_name == "review2020" else squares.sum((1, 2, 3)).mean()
    posterior = Normal(mean, torch.exp(logvar / 2))
    kl = kl_divergence(posterior, Normal(0.0, 1.0)).sum(1).mean()

    concepts = vae(x, noise)
    assert_close(vae_loss(vae, concepts, x, beta, objective_name), error + beta * kl)
    assert_close(reconstruction_error(vae, concepts, x, objective_name), error)


def test_the_reviews_beta_is_worth_784_of_the_usual():
    vae = DIGITS_VAE.senn().conceptizer.double()
    x = random_batch(DIGITS_VAE)
    concepts = vae(x)
    review = vae_loss(vae, concepts, x, 4, "review2020")
    elbo = vae_loss(vae, concepts, x, 4 * 784, "elbo")
    assert_close(784 * review, elbo)


def test_disenn_uses_the_vaes_objective():
    senn, x = DIGITS_VAE.senn().double(), random_batch(DIGITS_VAE, 3)
    experiment = SMOKE.experiments["mnist_disenn"]
    for name in ("review2020", "elbo"):
        vae = SMOKE.vae.model_copy(update={"objective": name})
        loss = Objective(experiment, SMOKE.robustness, vae).concept_loss(senn, senn(x), x)
        conceptizer = senn.conceptizer
        assert_close(loss, vae_loss(conceptizer, conceptizer(x), x, experiment.beta, name))


def test_kl_against_torch_distributions():
    latent = Latent(3 * torch.randn(50, 6, dtype=torch.float64), torch.randn(50, 6).double())
    posterior = Normal(latent.mean, latent.logvar.exp().sqrt())
    expected = kl_divergence(posterior, Normal(0.0, 1.0)).sum(1).mean()
    assert_close(kl_to_standard_normal(latent), expected)


def test_kl_of_the_prior_is_zero():
    assert kl_to_standard_normal(Latent(torch.zeros(4, 3), torch.zeros(4, 3))).item() == 0


# --- cross-entropy and banks -------------------------------------------------------------------


def test_cross_entropy_is_torchs_for_every_model():
    logits, y = 3 * torch.randn(2, 3, 7, 4), torch.randint(4, (2, 3, 7))
    losses = cross_entropy(logits, y)
    for i, j in itertools.product(range(2), range(3)):
        assert_close(losses[i, j], F.cross_entropy(logits[i, j], y[i, j]))
    assert_close(
        cross_entropy(1e4 * logits[0, 0], y[0, 0]), F.cross_entropy(1e4 * logits[0, 0], y[0, 0])
    )


@pytest.mark.parametrize("reduction", ["batch", "example"])
@pytest.mark.parametrize("probes", ["exact", 2])
@pytest.mark.parametrize(
    ("architecture", "name"),
    [(TABLE_7, "compas_senn"), (DIGITS, "mnist_senn"), (DIGITS_VAE, "mnist_disenn")],
)
def test_losses_of_stacked_models_are_those_of_each(architecture, name, probes, reduction):
    examples = 5
    models = [architecture.senn(seed).double() for seed in range(6)]
    draws = []
    for seed in range(6):
        generator = torch.Generator().manual_seed(seed)
        noise = models[0].draw_noise(examples, generator)
        signs = draw_probes((examples, 2, architecture.classes), generator).double()
        x, y = random_batch(architecture, examples, seed), classes_of(architecture, examples)
        draws.append((x, y, noise, None if probes == "exact" else signs))
    robust_reg = torch.linspace(0, 1, 6, dtype=torch.float64)
    loss = objective(name, {"reduction": reduction, "probes": probes})

    together = tree_map(lambda *t: None if t[0] is None else torch.stack(t), *draws)
    senn = stack(models).senn
    terms = loss(senn, robust_reg, *together)
    for place, (model, draw) in enumerate(zip(models, draws, strict=True)):
        expected = loss(model, robust_reg[place], *draw)
        assert_close(tuple(term[place] for term in terms), tuple(expected))
