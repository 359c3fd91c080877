from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from pipeline.core.errors import PipelineError
from stages import tokenizer
from tests.conftest import REPOSITORY

pytestmark = pytest.mark.usefixtures("in_this_process")

OUT = Path("reports/text/tokenizer.csv")


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """A folder with params.yaml, and raw texts in which words end with their only x."""
    monkeypatch.chdir(tmp_path)
    content = yaml.safe_load((REPOSITORY / "presets/smoke.yaml").read_text())
    content["tokenizer"] |= {"documents": 60, "characters": 8, "epochs": 8, "batch_size": 16}
    content["tokenizer"] |= {"seeds": [1, 2], "lr": 0.05}
    Path("params.yaml").write_text(yaml.safe_dump(content))
    write_texts(Path("data/raw/reuters_r8"))
    monkeypatch.setattr(tokenizer, "verify_all", lambda *_: None)  # they are made up
    return tmp_path


def write_texts(raw: Path) -> None:
    """Files of `raw` texts of three words, of which each ends with its only x, or is it."""
    raw.mkdir(parents=True)
    random = np.random.default_rng(0)
    for part, count in (("train", 60), ("test", 6)):
        texts = (" ".join(random.choice(["abx", "x", "bbax"], size=30)) for _ in range(count))
        lines = ["Category\tText", "d\tstring", "class\t", *(f"earn\t{text}" for text in texts)]
        (raw / f"reuters-r8-{part}.tab").write_text("\n".join(lines))


def test_the_table_and_the_same_bytes_again(workspace):
    tokenizer.main()
    table = pd.read_csv(OUT).set_index("quantity")
    assert set(table["dataset"]) == {"reuters_r8"}
    assert table.loc["f1", "value"] > 0.99
    profile = table.loc[["relevance"]].set_index("offset")["value"]
    assert profile.idxmax() == -1  # the x
    assert (table["seeds"] == 2).all() and (table["texts"] == 6).all()
    here = OUT.read_bytes()
    tokenizer.main()
    assert OUT.read_bytes() == here


def test_texts_are_verified(workspace, monkeypatch):
    monkeypatch.undo()
    monkeypatch.chdir(workspace)
    with pytest.raises(PipelineError, match=r"reuters_r8/reuters-r8-train\.tab: wrong content"):
        tokenizer.main()
    assert not OUT.exists()
