import pandas as pd
import pytest

from pipeline.metrics.intervals import interval
from pipeline.reporting import tables
from pipeline.reporting.display import Picture, Prose, Table
from pipeline.reporting.style import png
from tests.reporting.workspace import default_params


def test_every_table_has_a_row(run):
    results = run()
    overview, _, *pictures = tables.tables(results)
    assert isinstance(overview, Table)
    cancer, wine = overview.rows
    assert cancer[:4] == ("uci_breast_cancer", "120", "30", "2")
    assert wine[:4] == ("uci_wine", "120", "13", "3")
    cells = results.tables["uci_wine"].cells
    at = [cells[cells["robust_reg"] == reg]["accuracy"] for reg in (0.01, 1.0)]
    assert wine[5:7] == tuple(f"{100 * a.mean():.1f} ± {100 * a.std():.1f}" for a in at)
    assert wine[9] == "100 %"  # collapsed, as all at λ = 1 of the workspace
    assert [picture.name for picture in pictures] == [
        "tradeoff_compas_senn",
        "tradeoff_uci_breast_cancer",
    ]


def test_the_trade_off_on_breast_cancer_begins_at_zero(run):
    results = run()
    (picture,) = (
        part
        for part in tables.tables(results)
        if isinstance(part, Picture) and part.name == "tradeoff_uci_breast_cancer"
    )
    cells = results.tables["uci_breast_cancer"].cells
    means = cells.groupby("robust_reg")["lipschitz_local"].mean()
    assert picture.alt.startswith(f"Breast cancer: eq. 5 goes from {means[0.0]:.2f} to ")
    assert picture.alt.endswith("at λ = 0, 0.01 and 1.")
    above, below = picture.figure.axes
    assert [label.get_text() for label in below.get_xticklabels()] == ["0", "0.01", "1"]
    assert below.get_yscale() == "log" and below.get_xscale() == "symlog"
    bars = above.containers[0], below.containers[0]
    drawn = [bar.lines[0].get_ydata().tolist() for bar in bars]
    assert drawn[0] == pytest.approx(cells.groupby("robust_reg")["accuracy"].mean().tolist())
    assert drawn[1] == pytest.approx(means.tolist())
    at_zero = cells[cells["robust_reg"] == 0]["lipschitz_local"].tolist()
    (_, top), *_ = bars[1].lines[2][0].get_segments()[0].tolist(), None
    assert top[1] == pytest.approx(interval(at_zero).high)


def test_models_whose_relevances_do_not_change_are_left_out(run):
    cells = run().experiments["compas_senn"].cells.copy()
    cells.loc[cells["robust_reg"] == 1.0, "lipschitz_local"] = [0.0, 0.5]
    figure = tables.trade_off(cells, tables.FIGURES["compas_senn"], "title")
    dots = [line for line in figure.axes[1].lines if line.get_markersize() == 3.2]
    drawn = pd.concat([pd.Series(line.get_ydata()) for line in dots])
    assert drawn.isna().sum() == 1 and drawn.min() == 0.5
    assert figure.axes[1].get_ylim()[0] == 0.25
    assert png(figure).startswith(b"\x89PNG")


def test_a_run_without_tables(run):
    params = default_params()
    of_images = {name: params["experiments"][name] for name in ("mnist_senn",)}
    (only,) = tables.tables(run(experiments=of_images))
    assert isinstance(only, Prose)
