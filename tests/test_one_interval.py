"""The 95 % interval of an accuracy is the same wherever it is written, drawn or judged."""

import json
import math
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from pipeline.claims.verdicts import as_table, judge
from pipeline.core.cells import Cell
from pipeline.core.files import write_csv, write_json
from pipeline.metrics.evaluation import cells_table, lambda_table
from pipeline.metrics.headline import headline
from pipeline.metrics.intervals import share_interval
from pipeline.reporting.accuracy import accuracy_against_lambda
from pipeline.reporting.claims import claims
from pipeline.study.definitions import Definition
from pipeline.study.measured import MeasuredStudy
from tests.claims.test_verdicts import measured
from tests.conftest import REPOSITORY

EXAMPLES = 1072
ACCURACIES = {1e-4: (0.808, 0.812, 0.815), 1.0: (0.674, 0.706, 0.722)}
OTHERS = ("robustness_loss", "lipschitz_discrete", "lipschitz_local", "concept_sparsity",
          "faithfulness_relevance", "cross_entropy", "cross_entropy_ratio", "selection_gain",
          "collapsed")  # fmt: skip
DEFINITION = Definition("review2020", "batch")


def expected(accuracies):
    """Student's t over seeds and Wilson's score interval, in quadrature: the formulas at length."""
    z, t, n = 1.959964, 4.302653, EXAMPLES
    squares = [(t * np.std(accuracies, ddof=1) / math.sqrt(3)) ** 2] * 2
    for i, sign in enumerate((-1, 1)):
        ends = [
            (p + z**2 / (2 * n) + sign * z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)))
            / (1 + z**2 / n)
            for p in accuracies
        ]
        squares[i] += np.mean(np.abs(np.subtract(ends, accuracies))) ** 2
    mean = np.mean(accuracies)
    return mean - math.sqrt(squares[0]), mean + math.sqrt(squares[1])


@pytest.fixture
def written(tmp_path):
    """What stages write of three seeds: cells, λ and the metrics of λ = 1."""
    evaluations = {}
    for robust_reg, accuracies in ACCURACIES.items():
        for seed, accuracy in enumerate(accuracies):
            here = share_interval(accuracy, EXAMPLES)
            row = dict(zip(("accuracy", "accuracy_low", "accuracy_high"), here, strict=True))
            row |= dict.fromkeys(OTHERS, 0.5)
            evaluations[Cell("compas_senn", robust_reg, seed)] = row
    lambdas = lambda_table(evaluations)
    write_csv(tmp_path / "cells.csv", cells_table(evaluations))
    write_csv(tmp_path / "lambda.csv", lambdas)
    write_json(tmp_path / "metrics.json", headline(lambdas, 1.0))
    return (
        pd.read_csv(tmp_path / "cells.csv"),
        pd.read_csv(tmp_path / "lambda.csv"),
        json.loads((tmp_path / "metrics.json").read_text()),
    )


def judged(cells):
    return judge({"compas_senn": measured(cells, "compas")}, {}, {})


def as_study(cells):
    cells = cells.assign(**DEFINITION._asdict())
    return MeasuredStudy(SimpleNamespace(batch_size=200), cells, 10)


def test_accuracy_is_the_same_in_files_claims_figures_study_and_report(written):
    cells, lambdas, metrics = written
    in_claims = as_table(judged(cells)).set_index("claim")[["low", "high"]]
    bars = accuracy_against_lambda(cells, [], [], "T").axes[0].containers[0].lines[2][0]
    for row, bar, (robust_reg, accuracies) in zip(
        lambdas.to_dict("records"), bars.get_segments(), ACCURACIES.items(), strict=True
    ):
        ends = pytest.approx(expected(accuracies), abs=1e-6)
        assert (row["accuracy_low"], row["accuracy_high"]) == ends
        assert bar[:, 1].tolist() == ends
        assert as_study(cells).accuracy_at(DEFINITION, robust_reg)[1:] == ends
        if robust_reg == 1e-4:
            claimed = tuple(in_claims.loc["compas-accuracy"])
            assert claimed == ends
            low, high = (f"{100 * end:.1f}" for end in claimed)
        else:
            half_width = (row["accuracy_high"] - row["accuracy_low"]) / 2
            assert metrics["ci95"] == pytest.approx(half_width)
    params = SimpleNamespace(robust_reg=1.0, rivals=SimpleNamespace(robust_reg=1.0))
    table = as_table(judged(cells))
    of_kind = {"everything": {}, "full_verdicts": table.iloc[:0]}
    results = SimpleNamespace(verdicts=table, params=params, **of_kind)
    table = [*claims(results)][-1]
    (row,) = (row for row in table.rows if "compas-accuracy" in row[0].split("\n"))
    assert row[3].endswith(f"\n{low} to {high}")


def test_accuracy_lost_is_the_same_in_claims_and_study(written):
    cells, _, _ = written
    (claimed,) = (v.here for v in judged(cells) if v.claim.id == "compas-tradeoff")
    assert as_study(cells).lost_at(DEFINITION, 1.0) == pytest.approx(claimed)
    lost = np.subtract(*ACCURACIES.values())
    assert claimed.mean == pytest.approx(lost.mean())
    assert claimed.low < stats.t.interval(0.95, 2, lost.mean(), stats.sem(lost))[0]


def test_no_other_file_has_quantiles_of_its_own():
    quantile = re.compile(
        r"\.ppf\(|\.isf\(|stdtrit\(|ndtri\(|1\.96|1\.959|\b0?\.975\b|\.interval\(0|proportion_ci|bootstrap\("
    )
    others = [
        str(path.relative_to(REPOSITORY))
        for folder in ("pipeline", "stages")
        for path in (REPOSITORY / folder).rglob("*.py")
        if quantile.search(path.read_text(encoding="utf-8"))
    ]
    assert others == ["pipeline/metrics/intervals.py"]
