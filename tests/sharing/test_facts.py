from itertools import combinations

import pytest
import torch

from pipeline.core.dataset import Prepared, Split, load_dataset, save_dataset
from pipeline.explanations.latents import latent_spread
from pipeline.explanations.method import Background
from pipeline.models.cells import load_cell
from pipeline.models.conceptizers import IdentityConceptizer
from pipeline.models.parameterizers import MlpParameterizer
from pipeline.models.senn import Senn
from pipeline.sharing.facts import Facts, Ground, facts_of


def dataset(folder, x, names=()):
    splits = [Split(x.clone(), torch.arange(len(x)) % 2) for _ in range(3)]
    save_dataset(folder, Prepared("compas", *splits, names, ("no", "yes"), 0.0, 1.0))
    return load_dataset(folder)


def model(shape):
    return Senn(IdentityConceptizer(shape), MlpParameterizer(shape, 4, 2, (), dropout=0.0))


def test_of_a_table(tmp_path):
    x = torch.tensor([[1.0, 0, 0, 0.1], [0, 1, 0, 0.7], [0, 1, 1, 0.4], [1, 0, 1, 0.5]])
    data = dataset(tmp_path, x, ("a_b", "c", "d", "Number_of_Priors"))
    facts = facts_of(model((4,)), data)
    both = [p for p in combinations(range(3), 2) if not any(row[p[0]] and row[p[1]] for row in x)]
    assert list(facts.never_together) == both == [(0, 1)]
    assert facts.feature_range == ((0, 1), (0, 1), (0, 1), (pytest.approx(0.1), pytest.approx(0.7)))
    assert facts.concept_range == facts.feature_range
    assert facts.plain_names == ("a b", "c", "d", "Prior offences")
    assert facts.scales[3].high == 38 and facts.scales[0].high == 1
    assert facts.ground is None and facts.latent_spread is None


def test_floats_are_those_of_the_data_to_the_bit(tmp_path):
    x = torch.rand(51, 4, generator=torch.Generator().manual_seed(0))
    facts = facts_of(model((4,)), data := dataset(tmp_path, x, tuple("abcd")))
    again = Facts.model_validate_json(facts.model_dump_json())
    assert again == facts
    ours, theirs = again.background((4,)), Background.of(data)
    assert torch.equal(ours.baseline, theirs.baseline)
    assert (ours.low, ours.high) == (theirs.low, theirs.high)


class Pooled(IdentityConceptizer):
    def encode(self, x):
        return x.flatten(1)[:, :4]


@pytest.mark.parametrize("value", [0, 255])
def test_ground_is_what_the_images_are_drawn_on(tmp_path, value):
    x = torch.full((9, 1, 28, 28), value, dtype=torch.uint8)
    for index in range(9):  # boxes of 7 to 15 pixels in height, 5 in width
        x[index, 0, 3 : 10 + index, 8:13] = 255 - value
    senn = Senn(Pooled(x.shape[1:]), MlpParameterizer(x.shape[1:], 4, 2, (), dropout=0.0))
    assert facts_of(senn, dataset(tmp_path, x)).ground == Ground(value=value / 255, extent=11)
    noise = torch.randint(0, 255, x.shape, generator=torch.Generator().manual_seed(0))
    noisy = dataset(tmp_path / "noisy", noise.to(torch.uint8))
    assert facts_of(senn, noisy).ground is None


def test_latent_spread_is_the_reports(shared_run):
    cell = shared_run / "models/mnist_disenn/lambda=0.01/seed=5.safetensors"
    senn, _ = load_cell(cell)
    data = load_dataset(shared_run / "data/prepared/mnist_5k")
    expected = latent_spread(senn.conceptizer.posterior(data.test.x))
    assert torch.equal(torch.tensor(facts_of(senn, data).latent_spread), expected)
