from shutil import copytree

import pandas as pd
import pytest
import torch

from pipeline.claims.evidence import qualitative_evidence
from pipeline.claims.results import LATENT_SPACE, NEIGHBOURS, PIXELS
from pipeline.core.errors import PipelineError
from pipeline.core.params import Vae
from pipeline.core.tensors import read_tensors
from pipeline.metrics.intervals import interval
from pipeline.metrics.neighbours import nearest_neighbours
from pipeline.models.building import Inputs, build_vae
from tests.reporting.conftest import read
from tests.reporting.workspace import default_params, make_workspace


@pytest.fixture
def folder(made, tmp_path):
    return copytree(made(), tmp_path, dirs_exist_ok=True)


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


def test_neighbours_are_sought_in_the_latent_space_of_each_seed(folder):
    experiment = read(folder).experiments["mnist_senn"]
    studies, x = experiment.neighbour_studies, experiment.data.test.x
    assert list(studies) == [LATENT_SPACE, PIXELS]
    for seed, study, in_pixels in zip((5, 6), studies[LATENT_SPACE], studies[PIXELS], strict=True):
        weights, about = read_tensors(folder / f"models/vae/seed={seed}.safetensors")
        vae = build_vae(
            Vae.model_validate(about["params"]["vae"]), Inputs((1, 28, 28), 0.1307, 0.3081), 0
        )
        vae.load_state_dict(weights)
        expected = nearest_neighbours(vae(x).values.detach(), NEIGHBOURS)
        assert torch.equal(study.neighbours, expected)
        assert torch.equal(in_pixels.neighbours, nearest_neighbours(x, NEIGHBOURS))
    assert not torch.equal(studies[LATENT_SPACE][0].neighbours, studies[LATENT_SPACE][1].neighbours)


def test_without_a_fitting_latent_space_neighbours_are_sought_in_pixels(tmp_path):
    params = default_params() | {"datasets": ["compas", "mnist_5k", "mnist", "uci", "reuters_r8"]}
    params["experiments"]["mnist_senn"]["dataset"] = "mnist"
    make_workspace(tmp_path, params)
    results = read(tmp_path)
    experiment = results.experiments["mnist_senn"]
    assert experiment.why_no_latent_space == "the β-VAE was trained on mnist_5k"
    assert list(experiment.neighbour_studies) == [PIXELS]
    assert "neighbours in pixels" in qualitative_evidence(results)["stable-explanations"].quantity


def test_the_latent_space_of_a_collapsed_vae_is_not_used(folder):
    results = read(folder)
    results.vae(5).mean_head.weight.zero_()
    experiment = results.experiments["mnist_senn"]
    assert experiment.why_no_latent_space == "the β-VAE has collapsed to its prior"
    assert list(experiment.neighbour_studies) == [PIXELS]


def test_evidence_is_what_was_measured(folder):
    results = read(folder)
    evidence = qualitative_evidence(results)
    assert set(evidence) == {"stable-explanations", "poor-explanations", "disenn-diversity"}
    experiment = results.experiments["mnist_senn"]
    studies = experiment.neighbour_studies[LATENT_SPACE]
    ratios = [study.relevances.ratio() for study in studies]
    stable = evidence["stable-explanations"]
    assert stable.here.mean == pytest.approx(sum(ratios) / 2)
    concepts = sum(study.concepts.ratio() for study in studies) / 2
    assert f"concepts: {concepts:.2f}" in stable.remark
    # The test examples' part of the interval: two equal seeds would have it alone.
    errors = [study.relevances.standard_error() for study in studies]
    half = 1.959964 * sum(errors) / 2
    assert stable.here[1:] == pytest.approx(interval(ratios, half, half)[1:])
    # Of the three that activate a concept most, the commonest class.
    shares = []
    for output in experiment.test_outputs:
        for k in range(5):
            classes = experiment.data.test.y[output.concepts[:, k].topk(3).indices].tolist()
            shares.append(max(classes.count(c) for c in classes) / 3)
    assert evidence["poor-explanations"].here.mean == pytest.approx(sum(shares) / len(shares))
    # 0.4 and 0.42 in the cells with the headline λ.
    assert evidence["disenn-diversity"].here.mean == pytest.approx(0.41)
    assert "SENN’s: 0.41" in evidence["disenn-diversity"].remark


def test_evidence_of_one_seed_is_in_the_remark(run):
    evidence = qualitative_evidence(run(seeds=[5]))
    for claim in evidence.values():
        assert claim.here is None
        assert claim.remark.startswith("one seed: 0.")


def test_no_evidence_without_images(run):
    only = {"compas_senn": default_params()["experiments"]["compas_senn"]}
    assert qualitative_evidence(run(experiments=only)) == {}
