import json
import math
from pathlib import Path

import pandas as pd
import pytest
import yaml

from pipeline.core.errors import PipelineError
from pipeline.core.files import write_csv
from stages import headline
from tests.conftest import REPOSITORY

TABLE = Path("reports/lambda/uci.csv")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs the stage on two tables of two λ each; the metrics by file."""
    monkeypatch.chdir(tmp_path)
    common = {"lipschitz_local": 2.5, "robustness_loss": 3.5}
    rows = [
        {
            "experiment": name,
            "robust_reg": robust_reg,
            "accuracy": accuracy,
            "accuracy_low": accuracy - 0.125,
            "accuracy_high": accuracy + 0.0625,
            "faithfulness_relevance": math.nan if name == "uci_wine" else 0.5,
            **common,
        }
        for name, accuracies in (("uci_heart", (0.875, 0.75)), ("uci_wine", (0.9375, 0.5)))
        for robust_reg, accuracy in zip((0.0001, 1 / 3), accuracies, strict=True)
    ]
    write_csv(TABLE, pd.DataFrame(rows))

    def ran(robust_reg):
        params = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
        Path("params.yaml").write_text(yaml.safe_dump(params | {"robust_reg": robust_reg}))
        monkeypatch.setattr("sys.argv", ["headline", "uci"])
        headline.main()
        return {path.name: json.loads(path.read_text()) for path in Path("reports").rglob("*.json")}

    return ran


def test_writes_a_file_for_each_experiment(run):
    metrics = run(0.0001)
    assert metrics == {
        "uci_heart.json": {
            "accuracy": 0.875,
            "ci95": 0.09375,
            "lipschitz_local": 2.5,
            "faithfulness": 0.5,
            "robustness_loss": 3.5,
        },
        "uci_wine.json": metrics["uci_heart.json"] | {"accuracy": 0.9375, "faithfulness": None},
    }


def test_takes_the_row_of_lambda_by_the_digits_that_name_a_model(run):
    assert run(0.333333)["uci_heart.json"]["accuracy"] == 0.75


def test_another_lambda_is_refused_and_nothing_is_written(run):
    with pytest.raises(PipelineError, match=r"uci\.csv: no row of uci_heart for λ = 0\.1, the rob"):
        run(0.1)
    assert not Path("reports/metrics").exists()


def test_a_missing_table_is_named(run):
    TABLE.unlink()
    with pytest.raises(PipelineError, match=r"cannot read reports/lambda/uci\.csv.*dvc repro"):
        run(0.0001)
