import pandas as pd
import pytest
import torch

from pipeline.errors import PipelineError
from pipeline.explanations.neighbours import nearest_neighbours, neighbour_study
from pipeline.reporting.evidence import qualitative_evidence
from pipeline.reporting.results import NEIGHBOURS
from tests.reporting.conftest import read
from tests.reporting.workspace import default_params, make_workspace


@pytest.fixture
def folder(tmp_path):
    make_workspace(tmp_path, default_params())
    return tmp_path


def edit_cells(folder, change) -> None:
    path = folder / "reports/cells/compas_senn.csv"
    change(pd.read_csv(path)).to_csv(path, index=False)


def test_cells_are_those_of_the_grid(folder):
    edit_cells(folder, lambda table: pd.concat([table.assign(robust_reg=7.0), table]))
    cells = read(folder).experiments["compas_senn"].cells
    expected = [(0.01, 5), (1.0, 5), (0.01, 6), (1.0, 6)]
    assert list(zip(cells["robust_reg"], cells["seed"], strict=True)) == expected
    assert read(folder).experiments["compas_senn"].headline["seed"].tolist() == [5, 6]


def test_a_missing_cell_is_named(folder):
    edit_cells(folder, lambda table: table.drop(index=3))
    with pytest.raises(PipelineError, match=r"compas_senn\.csv: no row for λ=1 seed=6"):
        _ = read(folder).experiments["compas_senn"].cells


@pytest.mark.parametrize("content", [None, "", "not\na,table\n1,2,3"])
def test_a_damaged_table_is_named(folder, content):
    path = folder / "reports/curves/vae.csv"
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(PipelineError, match=r"cannot read .*vae\.csv"):
        _ = read(folder).vae_curves


def test_outputs_cover_the_whole_test_set_for_every_seed(folder):
    experiment = read(folder).experiments["mnist_senn"]
    first, second = experiment.test_outputs
    assert first.relevances.shape == (50, 5, 10)
    torch.testing.assert_close(first.logits, experiment.model(experiment.data.test.x).logits)
    assert not torch.allclose(first.logits, second.logits)


def test_evidence_is_what_was_measured(folder):
    results = read(folder)
    evidence = qualitative_evidence(results)
    assert set(evidence) == {"stable-explanations", "poor-explanations", "disenn-diversity"}
    experiment = results.experiments["mnist_senn"]
    near = nearest_neighbours(experiment.data.test.x, NEIGHBOURS)
    ratios = [
        neighbour_study(near, output.relevances, output.logits.argmax(1)).ratio()
        for output in experiment.test_outputs
    ]
    assert evidence["stable-explanations"].here.mean == pytest.approx(sum(ratios) / 2)
    assert f"{sum(ratios) / 2:.2f} (0: equal" in evidence["stable-explanations"].sentence
    # 0.4 and 0.42 in the cells with the headline λ.
    assert evidence["disenn-diversity"].here.mean == pytest.approx(0.41)
    assert "SENN’s 0.41" in evidence["disenn-diversity"].sentence


def test_no_evidence_without_images(run):
    only = {"compas_senn": default_params()["experiments"]["compas_senn"]}
    assert qualitative_evidence(run(experiments=only)) == {}
