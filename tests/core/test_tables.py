from pathlib import Path

import pandas as pd
import pytest

from pipeline.core.errors import PipelineError
from pipeline.core.tables import read_table, rows_at


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe\x00"])
def test_a_table_that_cannot_be_read_is_named(tmp_path, content):
    path = tmp_path / "table.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PipelineError, match=rf"cannot read {path}: .*`dvc repro` runs the stage"):
        read_table(path)


def test_lambdas_are_told_apart_by_six_digits(tmp_path: Path):
    table = pd.DataFrame({"robust_reg": [0.1, 0.1 + 1e-9, 0.100001, 1e-4], "seed": [1, 2, 3, 4]})
    assert rows_at(table, 0.1)["seed"].tolist() == [1, 2]
    assert rows_at(table, 1e-4)["seed"].tolist() == [4]
    assert rows_at(table, 2.0).empty
