"""What report and docs say of roundings is what was measured."""

import json

import pandas as pd
import pytest

from benchmarks.roundings import PROCESSORS, RESULTS
from tests.conftest import REPOSITORY


def test_committed_results_are_what_report_and_docs_say():
    table = pd.read_csv(RESULTS)
    assert table["compiled_for"].tolist() == list(PROCESSORS)
    lost = 100 * (table["0.0001"] - table["1"])
    assert table["points_lost"].tolist() == pytest.approx(lost.tolist(), abs=1e-6)
    for reg in ("0.0001", "0.001", "0.01"):
        assert table[reg].nunique() == 1
    template = json.loads((REPOSITORY / "reports/template.ipynb").read_text(encoding="utf-8"))
    text = "".join(cell["source"] for cell in template["cells"])
    assert f"between {lost.min():.1f} and {lost.max():.1f} points" in text
    docs = (REPOSITORY / "docs/reproducibility.md").read_text(encoding="utf-8")
    for row in table.to_dict("records"):
        shares = " | ".join(f"{100 * row[reg]:.1f}" for reg in table.columns[1:-1])
        assert f"| {row['compiled_for']} | {shares} | {row['points_lost']:.1f} |" in docs
