"""Every variant of the robustness loss, everywhere that tells variants apart.

A variant that one of these places lacks fails here: the textbooks that ours is compared with, in
tests and benchmarks, training, figures and docs.
"""

import inspect

import pytest
from matplotlib.colors import to_hex
from torch.testing import assert_close

from benchmarks import textbook as benchmark
from pipeline.core.cells import Cell
from pipeline.core.dataset import load_dataset
from pipeline.core.params import Robustness
from pipeline.core.params_choices import VARIANTS, implementation
from pipeline.reporting.study import _MARKERS, COLOURS
from pipeline.study.definitions import definitions
from pipeline.training.robustness import linearise, of_logits, robustness_loss
from pipeline.training.table_stepping import fits
from tests.conftest import REPOSITORY
from tests.models.textbook import DIGITS, TABLE_7, random_batch
from tests.training import textbook
from tests.training.grids import CPU, EXPERIMENTS, SMOKE, settings, train, write_data

PUBLISHED = ("paper2018", "review2020", "authors2018")
each_variant = pytest.mark.parametrize("variant", VARIANTS)


def test_the_published_ones_are_there_and_compiled_for_tables():
    assert set(PUBLISHED) <= VARIANTS.keys()
    for variant in PUBLISHED:
        robustness = Robustness(variant=variant, reduction="batch", probes=1)
        assert fits(SMOKE.experiments["compas_senn"], robustness, CPU)


@each_variant
def test_what_it_differentiates_is_a_function_of_the_model(variant):
    target = implementation(VARIANTS[variant])
    assert inspect.signature(target) == inspect.signature(of_logits)


@each_variant
@pytest.mark.parametrize("architecture", [TABLE_7, DIGITS], ids=["table", "images"])
def test_the_textbooks_know_it(variant, architecture):
    senn, network = architecture.senn(0).double(), architecture.textbook(0).double()
    x = random_batch(architecture, 3)
    expected = textbook.robustness_loss(network, x, variant, "batch")
    assert_close(robustness_loss(linearise(senn, x), variant, "batch"), expected)
    x.requires_grad_()
    output = network(x)
    assert_close(benchmark.robustness_loss(x, benchmark.Output(*output), variant), expected)


@each_variant
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_model_is_trained_with_it(tmp_path, variant, name):
    data = load_dataset(write_data(name, tmp_path, train=24, valid=20))
    sizes = {"batch_size": 12, "epochs": 1}
    changes = {f"experiments.{name}.{key}": value for key, value in sizes.items()}
    params = settings(changes | {"robustness.variant": variant, "robustness.probes": "exact"})
    cell = Cell(name, 0.5, 3)
    (row,) = train([cell], data, params)[cell].curve
    assert row["train_robustness"] > 0


def test_a_variant_that_the_kernel_does_not_know_is_not_its_own(monkeypatch):
    monkeypatch.setitem(VARIANTS, "mine", VARIANTS["paper2018"])
    mine = Robustness.model_construct(variant="mine", reduction="batch", probes=1)
    assert not fits(SMOKE.experiments["compas_senn"], mine, CPU)


@each_variant
def test_it_is_studied_and_drawn_apart(variant):
    study = SMOKE.study["compas_senn"].model_copy(update={"variants": tuple(VARIANTS)})
    assert variant in {definition.variant for definition in definitions(study)}
    others = [(COLOURS[other], _MARKERS[other]) for other in VARIANTS if other != variant]
    assert to_hex(COLOURS[variant]) and (COLOURS[variant], _MARKERS[variant]) not in others


@each_variant
def test_it_is_described(variant):
    assert f"`{variant}`" in (REPOSITORY / "docs/published-code.md").read_text(encoding="utf-8")
