"""The comparison with the review's log: its interval, its trainings, what the docs say of it."""

import pandas as pd
import pytest

from benchmarks.as_run import LOG, RESULTS, SETTINGS, main, summarise
from tests.conftest import REPOSITORY
from tests.training.grids import write_digits


def accuracies(*of_seeds: float, step: int = 200) -> pd.DataFrame:
    rows = enumerate(of_seeds)
    return pd.DataFrame(
        {"settings": "as run", "seed": seed, "step": step, "valid_accuracy": value}
        for seed, value in rows
    )


def test_the_interval_of_a_further_seed():
    # Two seeds: t with one degree of freedom is the tangent, its 1 − 0.05 / 6 quantile 38.188.
    (row,) = summarise(accuracies(0.971, 0.973)).to_dict("records")
    assert row["mean"] == pytest.approx(0.972) and row["sd"] == pytest.approx(0.002 / 2**0.5)
    half = 38.188 * row["sd"] * 1.5**0.5
    assert (row["low"], row["high"]) == pytest.approx((0.972 - half, 0.972 + half), rel=1e-4)


@pytest.mark.parametrize(("shift", "within"), [(0.0, True), (0.01, False), (-0.01, False)])
def test_says_whether_the_log_is_in_it(shift, within):
    spread = (-0.001, 0.0, 0.001, -0.001, 0.001)
    (row,) = summarise(accuracies(*(LOG[200] + shift + s for s in spread))).to_dict("records")
    assert row["within"] == within


@pytest.mark.usefixtures("in_this_process")
def test_trains_every_setting_with_every_seed(tmp_path, monkeypatch, capsys):
    data, output = write_digits(tmp_path / "data/mnist", train=410).parent, tmp_path / "as_run.csv"
    options = ["--data", data, "--work", tmp_path / "work", "--output", output]
    main([*map(str, options), "--device", "cpu", "--seeds", "1", "2"])
    table = pd.read_csv(output)
    assert [tuple(row) for row in table[["settings", "seed", "step"]].to_numpy()] == [
        (name, seed, 4) for name in SETTINGS for seed in (1, 2)
    ]
    losses = table.set_index(["settings", "seed"])["train_classification"]
    # Before the first validation dropout is on either way; a lower rate differs from the start.
    assert (losses["as run"] == losses["dropout throughout"]).all()
    assert (losses["as run"] != losses["lr 0.0002"]).all()
    assert "2 seeds on" in capsys.readouterr().out


def test_committed_results_are_what_the_docs_say():
    summary = summarise(pd.read_csv(RESULTS))
    docs = (REPOSITORY / "docs/published-code.md").read_text(encoding="utf-8")
    assert f"Mean over {summary['seeds'].unique().item()} seeds" in docs
    for name, rows in summary.groupby("settings", sort=False):
        cells = [
            f"{100 * row['mean']:.2f} ({100 * row['low']:.2f} to {100 * row['high']:.2f})"
            for row in rows.to_dict("records")
        ]
        inside = "yes" if rows["within"].all() else "no"
        assert f"| {name} | {' | '.join(cells)} | {inside} |" in docs
    log = " | ".join(f"{100 * value:.2f}" for value in LOG.values())
    assert f"| the review's log | {log} | |" in docs
