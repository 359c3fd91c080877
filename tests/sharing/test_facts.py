from itertools import combinations
from pathlib import Path

import pandas as pd
import pytest
import torch

from pipeline.core.dataset import TABLE_NAME, Prepared, Split, load_dataset, save_dataset
from pipeline.data.scales import Scale
from pipeline.explanations.latents import latent_spread
from pipeline.explanations.method import Background
from pipeline.models.conceptizers import IdentityConceptizer
from pipeline.models.parameterizers import MlpParameterizer
from pipeline.models.senn import Senn
from pipeline.models.weights import load_cell
from pipeline.sharing.facts import Facts, facts_of

NO_TABLE = Path("there is none")


def dataset(folder, x, names=(), table=None):
    splits = [Split(x.clone(), torch.arange(len(x)) % 2) for _ in range(3)]
    prepared = Prepared("compas", *splits, names, ("no", "yes"), 0.0, 1.0, table)
    save_dataset(folder, prepared)
    return load_dataset(folder)


def model(shape):
    return Senn(IdentityConceptizer(shape), MlpParameterizer(shape, 4, 2, (), dropout=0.0))


def test_of_a_table(tmp_path):
    x = torch.tensor([[1.0, 0, 0, 0.1], [0, 1, 0, 0.7], [0, 1, 1, 0.4], [1, 0, 1, 0.5]])
    data = dataset(tmp_path, x, ("a_b", "c", "d", "Number_of_Priors"))
    facts = facts_of(model((4,)), data, tmp_path / TABLE_NAME)
    both = [p for p in combinations(range(3), 2) if not any(row[p[0]] and row[p[1]] for row in x)]
    assert list(facts.never_together) == both == [(0, 1)]
    assert facts.feature_range == ((0, 1), (0, 1), (0, 1), (pytest.approx(0.1), pytest.approx(0.7)))
    assert facts.concept_range == facts.feature_range
    assert facts.plain_names == ("a b", "c", "d", "Prior offences")
    assert facts.scales[3].high == 38 and facts.scales[0].high == 1
    assert facts.ground is None and facts.latent_spread is None


def test_what_is_usual(tmp_path):
    x = torch.tensor([[0.1, 1, 0, 0], [0.7, 0, 1, 0], [0.4, 0, 0, 1], [0.6, 0, 0, 1]])
    x = torch.cat([x, x[:1]])  # 2 rows of category a, 1 of b, 2 of c
    data = dataset(tmp_path, x, ("age", "of=a", "of=b", "of=c"))
    assert facts_of(model((4,)), data, NO_TABLE).usual == (pytest.approx(0.4), 1, 0, 0)
    data = dataset(tmp_path, x, ("age", "a", "b", "c"))
    assert facts_of(model((4,)), data, NO_TABLE).usual == (pytest.approx(0.4), 0, 0, 0)


def test_values_in_the_table_for_people_are_the_unit(tmp_path):
    x = torch.tensor([[0.0, 0.5, 1, 0.5], [1, 0, 0.5, 1]])
    shown = pd.DataFrame({"age": [20.0, 60], "b": [0.5, 0], "c": [9, 3], "d": [0.5, 1]})
    rows = [shown.assign(split=name) for name in ("train", "valid", "test")]
    rows.append(pd.DataFrame({"age": [20.0], "b": [1.0], "c": [-3], "d": [0.0], "split": ["test"]}))
    data = dataset(tmp_path, x, tuple(shown), pd.concat(rows))
    scales = facts_of(model((4,)), data, tmp_path / TABLE_NAME).scales
    assert scales == (Scale(20, 60), Scale(), Scale(-3, 9), Scale())
    shuffled = pd.concat([rows[0][::-1], *rows[1:]])
    data = dataset(tmp_path / "other", x, tuple(shown), shuffled)
    other = facts_of(model((4,)), data, tmp_path / "other" / TABLE_NAME).scales
    assert other == (Scale(), Scale(), Scale(), Scale())  # they are not those rows


def test_floats_are_those_of_the_data_to_the_bit(tmp_path):
    x = torch.rand(51, 4, generator=torch.Generator().manual_seed(0))
    facts = facts_of(model((4,)), data := dataset(tmp_path, x, tuple("abcd")), NO_TABLE)
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
    ground = facts_of(senn, dataset(tmp_path, x), NO_TABLE).ground
    assert (ground.value, ground.extent) == (value / 255, 11)
    assert ground.drawn == pytest.approx((5 * 7 / 28**2, 5 * 15 / 28**2))
    noise = torch.randint(0, 255, x.shape, generator=torch.Generator().manual_seed(0))
    noisy = dataset(tmp_path / "noisy", noise.to(torch.uint8))
    assert facts_of(senn, noisy, NO_TABLE).ground is None


def test_latent_spread_is_the_reports(shared_run):
    cell = shared_run / "models/mnist_disenn/lambda=0.01/seed=5.safetensors"
    senn, _ = load_cell(cell)
    data = load_dataset(shared_run / "data/prepared/mnist_5k")
    expected = latent_spread(senn.conceptizer.posterior(data.test.x))
    assert torch.equal(torch.tensor(facts_of(senn, data, NO_TABLE).latent_spread), expected)
