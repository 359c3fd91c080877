"""What stage `explain` writes of the explanatory power of explanations of texts."""

from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml

from benchmarks.measure import of_what_there_is
from pipeline.core.cells import Cell
from pipeline.core.dataset import Prepared, Split, save_dataset
from pipeline.core.errors import PipelineError
from pipeline.core.params import load_params
from pipeline.core.tensors import write_tensors
from pipeline.metrics.word_power import COMPARED, NO_MODEL
from pipeline.models.building import Inputs, build_senn
from stages import explain
from tests.conftest import REPOSITORY

pytestmark = pytest.mark.usefixtures("in_this_process")

OUT, NAME = Path("reports/text/power.csv"), "reuters_senn"


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """A folder with params.yaml, prepared texts and untrained models of two seeds."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SENN_CELL_STORE", str(tmp_path / "store"))
    content = yaml.safe_load((REPOSITORY / "presets/smoke.yaml").read_text())
    content["experiments"] = {NAME: content["experiments"][NAME]}
    content = of_what_there_is(content)
    content["explain"]["experiments"] = []
    content["power"] |= {"experiments": [NAME], "seeds": 2, "documents": 30, "neighbours": [1, 3]}
    Path("params.yaml").write_text(yaml.safe_dump(content))
    params = load_params(Path("params.yaml"))
    length, size = shape = params.texts.input_shape
    generator = torch.Generator().manual_seed(0)

    def split(count: int) -> Split:
        words = torch.randint(20, (count, length), generator=generator, dtype=torch.int32)
        return Split(words, words[:, 0].long() % 8)

    embeddings = torch.randn(20, size, generator=generator)
    embeddings[0] = 0
    classes = tuple("abcdefgh")
    prepared = Prepared(
        "reuters_r8", split(50), split(10), split(40), (), classes,
        vocabulary=("", *map(str, range(1, 20))), embeddings=embeddings,
    )  # fmt: skip
    save_dataset(Path("data/prepared/reuters_r8"), prepared)
    experiment = params.experiment(NAME)
    about = {
        "experiment": NAME,
        "params": {"experiment": experiment.model_dump(mode="json"), "vae": None},
        "input_shape": list(shape),
        "mean": 0.0,
        "std": 1.0,
    }
    for seed in params.seeds_of(NAME)[:2]:
        model = build_senn(NAME, experiment, None, Inputs(shape, 0.0, 1.0), seed)
        path = Cell(NAME, params.robust_reg, seed).path(Path("models"))
        write_tensors(path, model.state_dict(), about | {"seed": seed})


def test_the_table_and_the_same_bytes_from_the_store(workspace, capsys):
    explain.main()
    table = pd.read_csv(OUT)
    assert list(table.columns[:3]) == ["experiment", "robust_reg", "vectors"]
    weights = [*COMPARED, *NO_MODEL]
    assert table["weights"].tolist() == 2 * weights
    assert (table["seeds"] == 2).all() and (table["documents"] == 30).all()
    assert table["power"].between(0, 1).all()
    assert (table.loc[table["weights"] == "lrp_epsilon", "behind"] == 0).all()
    here = OUT.read_bytes()
    capsys.readouterr()
    explain.main()
    assert OUT.read_bytes() == here
    total = 2 * len(weights)
    assert f"power: {total} of {total} results reused" in capsys.readouterr().out


def test_a_missing_cell_is_named(workspace):
    gone = next(Path("models").rglob("*.safetensors"))
    gone.unlink()
    with pytest.raises(PipelineError, match=str(gone)):
        explain.main()
    assert not OUT.exists()


def test_nothing_to_measure(workspace):
    content = yaml.safe_load(Path("params.yaml").read_text())
    content["power"]["experiments"] = []
    Path("params.yaml").write_text(yaml.safe_dump(content))
    explain.main()
    assert pd.read_csv(OUT).empty
