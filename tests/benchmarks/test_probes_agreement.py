import math

import pandas as pd
import pytest
import yaml

from benchmarks.probes_agreement import in_markdown, main, summarise
from tests.training.grids import SMOKE, write_digits, write_table

pytestmark = pytest.mark.usefixtures("in_this_process")


def cells(exact: list[float], probe: list[float], **about: object) -> pd.DataFrame:
    """Cells of one λ, a seed each; the robustness loss is ten times the accuracy."""
    rows = [
        {"experiment": "e", "variant": "v", "robust_reg": 0.1, "seed": seed, "probes": probes}
        | {"accuracy": value, "robustness_loss": 10 * value}
        | about
        for probes, values in (("exact", exact), ("1", probe))
        for seed, value in enumerate(values)
    ]
    return pd.DataFrame(rows)


def test_difference_and_spread():
    table = summarise(cells([0.7, 0.8, 0.9], [0.75, 0.85, 0.95])).set_index("metric")
    accuracy = table.loc["accuracy"]
    assert accuracy["exact_mean"] == pytest.approx(0.8)
    assert accuracy["exact_sd"] == pytest.approx(0.1)
    assert accuracy["probe_mean"] == pytest.approx(0.85)
    assert accuracy["difference"] == pytest.approx(0.05)
    assert accuracy["spread"] == pytest.approx(0.1)
    assert accuracy["seeds"] == 3
    assert table.loc["robustness_loss", "difference"] == pytest.approx(0.5)
    assert table["within"].all()


def test_spread_is_of_both_and_a_larger_difference_is_outside():
    table = summarise(cells([0.5, 0.5, 0.5], [0.6, 0.7, 0.8])).set_index("metric")
    assert table.loc["accuracy", "spread"] == pytest.approx(0.1 / math.sqrt(2))
    assert not table["within"].any()


def test_every_lambda_and_variant_is_compared_by_itself():
    parts = [
        cells([0.5, 0.6], [0.5, 0.6]),
        cells([0.5, 0.6], [0.9, 0.91], robust_reg=1.0),
        cells([0.5, 0.6], [0.5, 0.61], variant="w"),
    ]
    table = summarise(pd.concat(parts))
    accuracy = table[table["metric"] == "accuracy"]
    assert list(
        zip(accuracy["variant"], accuracy["robust_reg"], accuracy["within"], strict=True)
    ) == [
        ("v", 0.1, True),
        ("v", 1.0, False),
        ("w", 0.1, True),
    ]
    text = in_markdown(table, "a machine")
    assert "spread in 2 of 4 comparisons; in another 2 there is no difference at all" in text
    assert "Trained on a machine." in text
    assert text.count("| no ") == 2


def test_trains_and_compares(tmp_path, monkeypatch):
    """Tiny, but the whole way: β-VAEs, grids with both losses, metrics, files."""
    monkeypatch.setenv("SENN_CELL_STORE", str(tmp_path / "store"))
    data, output = tmp_path / "data", tmp_path / "out"
    write_table(data / "compas")
    write_digits(data / "mnist_5k")
    params = SMOKE.model_dump(mode="json")
    params["pretrain"]["batch_size"] = 50
    params["evaluate"] |= {"anchors": 5, "bootstrap": 100}
    for experiment in params["experiments"].values():
        experiment |= {"epochs": 2, "batch_size": 50, "eval_freq": 2, "lr": 0.01}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    places = {"params": tmp_path / "params.yaml", "data": data, "work": tmp_path / "work"}
    options = [text for key, path in places.items() for text in (f"--{key}", str(path))]
    options += ["--experiments", "compas_senn", "mnist_senn", "mnist_disenn"]
    main([*options, "--output", str(output), "--device", "cpu", "--seeds", "1", "2"])

    trained = pd.read_csv(output / "probes_agreement_cells.csv")
    assert len(trained) == 4 * 2 * 2 * 2  # experiments and variants × probes × λ × seeds
    assert trained["accuracy"].between(0, 1).all()
    losses = trained.pivot(
        index=["experiment", "variant", "robust_reg", "seed"],
        columns="probes",
        values="robustness_loss",
    )
    same = (losses["1"] == losses["exact"]).groupby(["experiment", "variant"]).all()
    assert same.to_dict() == {
        ("compas_senn", "review2020"): True,  # exact either way
        ("compas_senn", "paper2018"): False,
        ("mnist_senn", "review2020"): False,
        ("mnist_disenn", "review2020"): False,
    }
    summary = summarise(trained)
    assert len(summary) == 4 * 2 * 2
    assert (output / "probes_agreement.md").read_text("utf-8").count("\n| ") == len(summary) + 2
