"""What was found, from the results alone: other results, other findings."""

import pandas as pd
import pytest
import torch

from pipeline.claims.published import CLAIMS
from pipeline.claims.verdicts import Verdict, as_table
from pipeline.core.files import write_csv
from pipeline.metrics.intervals import Interval
from pipeline.reporting.findings import findings
from tests.reporting.conftest import read
from tests.reporting.workspace import default_params


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    monkeypatch.setattr("pipeline.reporting.study.RESAMPLES", 20)


def said(results, start: str) -> str:
    """The one finding that starts so."""
    (found,) = [line for line in next(findings(results)).markdown.split("\n") if start in line]
    return found


def test_which_loss_has_whose_curve(run):
    # The definitions of the made-up study lose 1, 2, … 6 points; published are 15 and 4.
    text = said(run(), "SENN on compas loses")
    assert text.startswith(
        "- **Whose curve comes out depends on the loss that is computed.** From "
    )
    assert "loses 6.0 points (" in text and "and 4.0 points (" in text
    assert "under `authors2018, example`, whose curve is closest to the review’s" in text
    assert "under `review2020, example`, whose curve is closest to the paper’s" in text
    assert text.endswith("([Figure](#figure-study_lambda_compas_senn)).")


def test_collapse(run):
    results = run()
    text = said(results, "SENN on compas have collapsed")
    # At λ = 1 both seeds; gains of 0.1 + 0.01 index for cells 1 and 3.
    assert "At λ = 1, 2 of 2 end up predicting a constant" in text
    assert "have 12.0 points more validation accuracy than the last ones" in text
    results.experiments["compas_senn"].cells["selection_gain"] = 0.0004
    text = said(results, "SENN on compas have collapsed")
    assert "have no more validation accuracy than the last ones" in text


def test_a_run_without_collapse(run):
    assert "collapsed" not in next(findings(run(lambda_grid=[0.01, 0.1]))).markdown


def test_removal_of_all_concepts(run):
    results = run()
    # 0.9 - 0.51 = 0.39 is left, less than half.
    text = said(results, "Without its concepts, SENN on mnist_5k predicts little")
    assert "goes from 0.90 to 0.39" in text
    curves = results.experiments["mnist_senn"].method_curves
    curves.loc[curves["position"] == 1.0, "value"] = 0.88
    assert "0.90 to 0.88" in said(results, "Without its concepts, SENN on mnist_5k predicts the sa")


def test_other_methods_in_the_papers_setting_and_in_fairer_ones(run):
    results = run()
    (claim,) = (claim for claim in CLAIMS if claim.id == "stability-compas")
    remark = "same search: reproduced; like with like: undecided"
    for status, words in (("not reproduced", "fails"), ("undecided", "is undecided")):
        results.verdicts = as_table([Verdict(claim, status, None, "8 comparisons", remark)])
        text = said(results, "SENN’s explanations are more stable")
        assert f"more stable than those of LIME and SHAP” {words} in the paper’s setting" in text
        assert f"In fairer ones: {remark} ([evidence](#senn-beside-other-methods" in text
    results.verdicts = as_table([Verdict(claim, "not tested", None, "one seed", remark)])
    assert "more stable" not in next(findings(results)).markdown


def test_saturation(run):
    results = run()
    assert "saturate" not in next(findings(results)).markdown
    outputs = results.experiments["mnist_disenn"].test_outputs
    for output in outputs:
        output.relevances.copy_(0.95 * torch.sign(output.relevances))
    text = said(results, "saturate")
    assert text.startswith("- **The relevances of DiSENN on mnist_5k saturate.**")
    assert "100 % (DiSENN on mnist_5k)" in text


def test_departures_from_what_the_review_ran(run):
    text = said(run(), "configs are not what it ran")
    assert "../docs/published-code.md#what-the-review-ran" in text
    assert "0 for SENN on compas" in text


def test_a_run_that_departs_in_nothing(run, monkeypatch):
    monkeypatch.setattr("pipeline.claims.results.deviations", lambda *_: ())
    text = said(run(), "configs are not what it ran")
    assert text.endswith("This run follows what it ran.")


def test_full_mnist(run):
    results = run()
    assert "full MNIST" not in next(findings(results)).markdown
    measured = {
        "mnist-accuracy": ("reproduced", Interval(0.9894, 0.988, 0.990)),
        "mnist-collapse": ("undecided", Interval(0.263, 0.2, 0.5)),
        "disenn-accuracy": ("reproduced", Interval(0.9836, 0.982, 0.985)),
        "compas-accuracy": ("reproduced", Interval(0.81, 0.79, 0.83)),
    }
    verdicts = [Verdict(c, *measured[c.id], "") for c in CLAIMS if c.id in measured]
    write_csv(results.reports / "paper/claims.csv", as_table(verdicts))
    assert said(read(results.reports.parent), "full MNIST") == (
        "- **On full MNIST, 3 claims can be tested: 2 reproduced and 1 undecided.** SENN reaches "
        "98.9 % (98.8 to 99.0) at λ = 0.0001 and 26.3 % (20.0 to 50.0) at λ = 1 "
        "([verdicts](paper/report.html#the-published-claims-one-by-one))."
    )


def test_whose_accuracy_at_the_strongest_regularisation(run):
    results = run()
    finding = "Which published accuracy"
    assert finding not in next(findings(results)).markdown

    def write(**accuracies: tuple[float, float]) -> None:
        """A study of two seeds with these accuracies at λ = 1, by reduction."""
        rows = [
            {"variant": "review2020", "reduction": one, "seed": seed, "robust_reg": robust_reg,
             "accuracy": value, "accuracy_low": value - 0.01, "accuracy_high": value + 0.01}
            for one, values in accuracies.items()
            for seed, of_one in enumerate(values)
            for robust_reg, value in ((0.1, 0.5), (1.0, of_one))
        ]  # fmt: skip
        path = results.reports / "paper/study/mnist_senn.csv"
        write_csv(path, pd.DataFrame(rows))

    write(batch=(0.26, 0.261), example=(0.986, 0.9861))
    text = said(results, finding)
    assert "accuracy SENN gets on full MNIST at λ = 1 depends on the loss.** Published are" in text
    assert "the paper (98.7 %), the review (40 %), the review’s checkpoints (26.30 %)" in text
    first, second = text.split(";")
    assert "under `review2020, batch`, which agrees with the review’s checkpoints, " in first
    assert first.endswith("excludes the paper, the review, the review’s best validation and ETH")
    assert "under `review2020, example`, which agrees with the paper, excludes the re" in second
    evidence = "([evidence](paper/report.html#figure-study_lambda_mnist_senn))."
    assert text.endswith(
        f"excludes the review, the review’s checkpoints, the review’s best "
        f"validation and ETH {evidence}"
    )
    write(batch=(0.26, 0.261), example=(0.262, 0.261))
    assert "at λ = 1 is the same under every loss.**" in said(results, finding)


def test_a_run_with_nothing_to_find(run):
    params = default_params()
    only = {"my_own": params["experiments"]["compas_senn"]}
    assert next(findings(run(experiments=only, study={}, lambda_grid=[0.01]))).markdown == ""
