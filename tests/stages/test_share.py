import re

import numpy as np
import pandas as pd
import pytest
import torch

from pipeline.core.tensors import read_tensors
from pipeline.metrics.intervals import accuracy_interval, interval
from pipeline.sharing.facts import Facts
from tests.processes import run_stage
from tests.reporting.workspace import default_params, make_workspace
from tests.test_docs import LINK, REPOSITORY, anchors

NAME = "compas_senn"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("share")
    make_workspace(folder, default_params())
    done = run_stage(folder, "share")
    assert done.returncode == 0, done.stderr
    return folder


def test_the_file_has_the_cells_weights_and_the_facts(folder):
    shared, about = read_tensors(folder / f"reports/models/{NAME}/{NAME}.safetensors")
    weights, metadata = read_tensors(folder / f"models/{NAME}/lambda=0.01/seed=5.safetensors")
    assert shared.keys() == weights.keys()
    assert all(torch.equal(shared[key], weights[key]) for key in weights)
    facts = Facts.model_validate(about.pop("facts"))
    assert facts.class_names == ("Low", "Medium or High")
    metadata.pop("curve", None)
    assert about == metadata


def test_the_card_says_what_the_tables_say(folder):
    card = (folder / f"reports/models/{NAME}/{NAME}.md").read_text(encoding="utf-8")
    cells = pd.read_csv(folder / f"reports/cells/{NAME}.csv")
    chosen = cells[np.isclose(cells["robust_reg"], 0.01)]
    row = re.search(r"^\| accuracy \| (.*) % \(.*\) \| (.*) % \((.*) to (.*)\) \|$", card, re.M)
    here = accuracy_interval(chosen)
    expected = [chosen["accuracy"].iloc[0], here.mean, here.low, here.high]
    assert [float(text) for text in row.groups()] == pytest.approx(
        [100 * value for value in expected], abs=0.051
    )
    row = re.search(r"^\| cross-entropy, nats \| (.*) \| (.*) \(.* to (.*)\) \|$", card, re.M)
    losses = chosen["cross_entropy"]
    expected = [losses.iloc[0], losses.mean(), interval(losses).high]
    assert [float(text) for text in row.groups()] == pytest.approx(expected, rel=0.01)
    wrong = round((1 - chosen["accuracy"].iloc[0]) * 40)
    assert f"wrong about {wrong} of 40 test examples" in card
    assert "λ = 0.01 and seed 5. Of 2 seeds it is the first" in card
    assert "never to judge a person" in card
    assert "collapsed" not in card


def test_an_entry_has_a_model_and_a_card_for_each_table(folder):
    names = {f"uci_{table}" for table in ("wine", "breast_cancer")}
    written = {path.name for path in (folder / "reports/models/uci").iterdir()}
    assert written == {f"{name}.{suffix}" for name in names for suffix in ("md", "safetensors")}
    for name in names:
        card = (folder / f"reports/models/uci/{name}.md").read_text(encoding="utf-8")
        assert card.startswith(f"# {name}\n") and f"`uci/{name.removeprefix('uci_')}`" in card


def test_the_card_links_lead_somewhere(folder):
    for name in (NAME, "mnist_senn", "mnist_disenn"):
        card = (folder / f"reports/models/{name}/{name}.md").read_text(encoding="utf-8")
        for target in filter(None, ("".join(groups) for groups in LINK.findall(card))):
            path, _, anchor = target.partition("#")
            here = (
                (folder if path.endswith(".safetensors") else REPOSITORY) / "reports/models" / name
            )
            assert (here / path).resolve().exists(), target
            assert not anchor or anchor in anchors((here / path).resolve())


def test_the_command_on_the_card_is_right(folder):
    """It names a feature that exists, with a value from training."""
    card = (folder / f"reports/models/{NAME}/{NAME}.md").read_text(encoding="utf-8")
    assert f"python -m pipeline.explain {NAME} --set Feature_A=1\n" in card
    assert f'load("{NAME}").explain({{"Feature_A": 1}})' in card


def test_again_it_is_the_same_bytes(folder):
    paths = sorted((folder / "reports/models").rglob("*.*"))
    before = [path.read_bytes() for path in paths]
    assert run_stage(folder, "share").returncode == 0
    assert [path.read_bytes() for path in paths] == before


def test_a_row_or_a_cell_that_is_missing(folder, tmp_path):
    make_workspace(tmp_path, default_params())
    path = tmp_path / f"reports/cells/{NAME}.csv"
    table = pd.read_csv(path)
    table[table["seed"] != 5].to_csv(path, index=False)
    done = run_stage(tmp_path, "share")
    assert done.returncode == 1
    assert f"no row for {NAME} λ=0.01 seed=5, which params.yaml asks for" in done.stderr
    assert not (tmp_path / "reports/models").exists()
    (tmp_path / f"models/{NAME}/lambda=0.01/seed=5.safetensors").unlink()
    done = run_stage(tmp_path, "share")
    assert done.returncode == 1 and "cannot read models/compas_senn" in done.stderr
