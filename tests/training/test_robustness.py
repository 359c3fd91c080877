import itertools

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from pipeline.core.params_choices import VARIANTS
from pipeline.models.senn import Senn
from pipeline.training.robustness import draw_probes, linearise, residuals, robustness_loss
from tests.models import textbook as models
from tests.models.textbook import (
    ARCHITECTURES,
    COLOURS,
    DIGITS,
    DIGITS_VAE,
    TABLE_7,
    TABLE_11,
    TEXTS,
    WORDS,
    Architecture,
    random_batch,
)
from tests.training import textbook

REDUCTIONS = ["batch", "example"]
KINDS = ["table", "conv", "vae"]
UNUSED = {"allow_unused": True, "materialize_grads": True}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def networks(architecture: Architecture, seed: int):
    return architecture.senn(seed).double(), architecture.textbook(seed).double()


EACH = ARCHITECTURES | TEXTS


@pytest.fixture(params=EACH.values(), ids=EACH.keys())
def architecture(request) -> Architecture:
    return request.param


# --- against the textbook ----------------------------------------------------------------------


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("seed", [0, 1])
def test_loss_and_its_gradient_equal_the_textbooks(architecture, variant, seed):
    senn, network = networks(architecture, seed)
    x = random_batch(architecture, 3, seed)
    noise = senn.draw_noise(3, generator(seed)) if seed else None
    masks = noise.masks if noise else None
    linearised = linearise(senn, x, noise)

    for reduction in REDUCTIONS:
        loss = robustness_loss(linearised, variant, reduction)
        expected = textbook.robustness_loss(network, x, variant, reduction, masks)
        assert expected > 1e-6
        assert_close(loss, expected)

        again = UNUSED | {"retain_graph": True}
        gradients = torch.autograd.grad(loss, list(senn.parameters()), **again)
        expected = torch.autograd.grad(expected, list(network.parameters()), **UNUSED)
        for ours, theirs in zip(gradients, expected, strict=True):
            assert_close(ours.reshape(theirs.shape), theirs)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(
    "architecture", [TABLE_7, DIGITS, DIGITS_VAE], ids=["table", "conv", "vae"]
)
def test_authors_sigmoid_of_a_single_output(architecture, reduction):
    architecture = architecture.with_(classes=1)
    senn, network = networks(architecture, seed=2)
    x = random_batch(architecture, 3)
    loss = robustness_loss(linearise(senn, x), "authors2018", reduction)
    expected = textbook.robustness_loss(network, x, "authors2018", reduction)
    assert_close(loss, expected)
    gradients = torch.autograd.grad(loss, list(senn.parameters()), **UNUSED)
    expected = torch.autograd.grad(expected, list(network.parameters()), **UNUSED)
    for ours, theirs in zip(gradients, expected, strict=True):
        assert_close(ours.reshape(theirs.shape), theirs)


@pytest.mark.parametrize("variant", VARIANTS)
def test_residuals_of_every_class(architecture, variant):
    senn, network = networks(architecture, seed=1)
    x = random_batch(architecture, 3)
    r = residuals(linearise(senn, x), variant)
    assert r.shape == (architecture.classes, *x.shape)
    assert_close(r.flatten(2).movedim(0, 1), textbook.robustness_residual(network, x, variant))


def test_linearised_output_is_the_models(architecture):
    senn, x = architecture.senn().double(), random_batch(architecture)
    for noise in (senn.draw_noise(len(x), generator()), None):
        output, expected = linearise(senn, x, noise).output, senn(x, noise)
        assert_close(output[:4], expected[:4])
        assert (output.latent is None) == (expected.latent is None)
        if expected.latent is not None:
            assert_close(tuple(output.latent), tuple(expected.latent))


# --- probes ------------------------------------------------------------------------------------

THREE_CLASSES = [
    (architecture.with_(classes=3), variant)
    for architecture in (TABLE_7, DIGITS, DIGITS_VAE, WORDS)
    for variant in VARIANTS
    if not (architecture is TABLE_7 and variant == "review2020")
]


@pytest.mark.parametrize(("architecture", "variant"), THREE_CLASSES)
def test_mean_over_all_signs_is_exact(architecture, variant):
    # E‖Σ_c ε_c r_c‖² = Σ_c ‖r_c‖², and with 3 classes there are 8 sign vectors to average over.
    senn, x = architecture.senn(1).double(), random_batch(architecture, 4)
    at = linearise(senn, x)
    signs = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=3)), dtype=torch.float64)
    all_probes = signs[:, None, :].expand(8, 4, 3)
    exact = robustness_loss(at, variant, "batch")
    assert_close(robustness_loss(at, variant, "batch", all_probes), exact)
    each = [robustness_loss(at, variant, "batch", p[None]).square() for p in all_probes]
    assert_close(torch.stack(each).mean(), exact.square())
    assert torch.stack(each).std() > 0.01 * exact.square()  # one alone is an estimate only
    assert_close(
        robustness_loss(at, variant, "example", all_probes),
        robustness_loss(at, variant, "example"),
    )


@pytest.mark.parametrize(("architecture", "variant"), THREE_CLASSES)
def test_a_probe_is_the_signed_sum_of_residuals(architecture, variant):
    senn, x = architecture.senn(1).double(), random_batch(architecture, 4)
    at, probes = linearise(senn, x), draw_probes((2, 4, 3), generator()).double()
    expected = torch.einsum("pbc,cb...->pb...", probes, residuals(at, variant))
    assert_close(residuals(at, variant, probes), expected)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("variant", ["paper2018", "authors2018"])
def test_many_random_probes_converge(variant, reduction):
    senn, x, n = TABLE_7.senn(1).double(), random_batch(TABLE_7, 4), 3_000
    at = linearise(senn, x)
    estimate = robustness_loss(at, variant, reduction, draw_probes((n, 4, 3), generator()).double())
    exact = robustness_loss(at, variant, reduction).item()
    # Var‖Σ_c ε_c r_c‖² = 4 Σ_{c<d} (r_c·r_d)² ≤ 2 (Σ_c ‖r_c‖²)², so the mean square of n probes has
    # a relative standard error ≤ sqrt(2 / n), 2.6 %, and its root half of that.
    assert estimate.item() == pytest.approx(exact, rel=5 * 0.5 * (2 / n) ** 0.5)


def test_gradient_of_all_signs_is_that_of_the_exact_loss():
    architecture = DIGITS.with_(classes=3)
    senn, x = architecture.senn(1).double(), random_batch(architecture, 2)
    signs = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=3)), dtype=torch.float64)
    at = linearise(senn, x)

    def gradients(probes: Tensor | None) -> tuple[Tensor, ...]:
        loss = robustness_loss(at, "review2020", "batch", probes)
        return torch.autograd.grad(loss, list(senn.parameters()), retain_graph=True, **UNUSED)

    assert_close(gradients(signs[:, None, :].expand(8, 2, 3)), gradients(None))


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_the_reviews_loss_of_tables_needs_no_probes(reduction):
    senn, x = TABLE_11.senn(1).double(), random_batch(TABLE_11, 4)
    at, probes = linearise(senn, x), draw_probes((3, 4, 2), generator()).double()
    estimated = robustness_loss(at, "review2020", reduction, probes)
    assert torch.equal(estimated, robustness_loss(at, "review2020", reduction))


def test_probes_are_independent_signs():
    probes = draw_probes((50, 40, 30), generator(1))
    assert probes.unique().tolist() == [-1, 1]
    # 60,000 signs: 5 standard errors of their mean, and of the mean product of neighbours.
    bound = 5 / 60_000**0.5
    assert probes.mean().abs() < bound
    for dim in range(3):
        assert (probes * probes.roll(1, dim)).mean().abs() < bound
    assert torch.equal(probes, draw_probes((50, 40, 30), generator(1)))
    assert not torch.equal(probes, draw_probes((50, 40, 30), generator(2)))


# --- reductions and corner cases ---------------------------------------------------------------


@pytest.mark.parametrize("probes", [None, 2])
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(
    "architecture", [TABLE_11, COLOURS, WORDS], ids=["table", "colours", "words"]
)
def test_reductions_and_batch_size(architecture, variant, probes):
    senn, x = architecture.senn(1).double(), random_batch(architecture, 5)
    if probes is not None:
        probes = draw_probes((probes, 5, architecture.classes), generator()).double()

    def loss(reduction: str, repeats: int) -> float:
        several = None if probes is None else probes.repeat(1, repeats, 1)
        at = linearise(senn, x.repeat(repeats, *[1] * (x.ndim - 1)))
        return robustness_loss(at, variant, reduction, several).item()

    assert loss("example", 4) == pytest.approx(loss("example", 1), rel=1e-12)
    assert loss("batch", 4) == pytest.approx(2 * loss("batch", 1), rel=1e-12)


def constant_relevances(architecture: Architecture) -> Senn:
    """θ does not depend on x: weights of the last layer are zero."""
    senn = architecture.senn().double()
    *_, weight, _ = senn.parameterizer.parameters()
    with torch.no_grad():
        weight.zero_()
    return senn


@pytest.mark.parametrize("probes", [None, 2])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(
    "architecture", [TABLE_7, DIGITS, DIGITS_VAE], ids=["table", "conv", "vae"]
)
def test_a_linear_model_has_no_loss_and_no_gradient(architecture, reduction, probes):
    senn, x = constant_relevances(architecture), random_batch(architecture, 3)
    if probes is not None:
        probes = draw_probes((probes, 3, architecture.classes), generator()).double()
    loss = robustness_loss(linearise(senn, x), "paper2018", reduction, probes)
    assert loss.item() == 0
    gradients = torch.autograd.grad(loss, list(senn.parameters()), **UNUSED)
    assert all((gradient == 0).all() for gradient in gradients)


def test_published_variants_see_a_loss_where_the_paper_sees_none():
    # They differentiate log-probabilities, so not even a linear model satisfies them.
    for architecture in (TABLE_7, DIGITS):
        at = linearise(constant_relevances(architecture), random_batch(architecture))
        for variant in ("review2020", "authors2018"):
            assert robustness_loss(at, variant, "batch") > 0.01


@pytest.mark.parametrize("variant", VARIANTS)
def test_other_examples_do_not_matter(variant):
    senn, x = DIGITS.senn().double(), random_batch(DIGITS, 4)
    alone = residuals(linearise(senn, x[:1]), variant)
    assert_close(residuals(linearise(senn, x), variant)[:, :1], alone)


def test_the_reviews_loss_of_tables_needs_raw_features():
    architecture = models.Architecture((7,), 3, 2, "vae", hidden_sizes=(4,))
    senn, x = architecture.senn(), random_batch(architecture).float()
    with pytest.raises(ValueError, match=r"identity conceptizer.*\(4, 7\).*\(4, 3\)"):
        robustness_loss(linearise(senn, x), "review2020", "batch")
    assert robustness_loss(linearise(senn, x), "paper2018", "batch") > 0
