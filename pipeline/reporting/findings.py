"""The report's first section: what was found, a sentence each, computed from the run's results.

A finding that the results do not support is left out or says the opposite; none is written down
with its numbers.
"""

from collections.abc import Iterator
from typing import get_args

import pandas as pd
import torch
from torch import Tensor

from pipeline.claims import wording
from pipeline.claims.comparison import Comparison, Decided
from pipeline.claims.published import CLAIMS, PROTOCOLS, with_article
from pipeline.claims.results import Results
from pipeline.claims.verdicts import from_table
from pipeline.claims.wording import lambda_label
from pipeline.metrics.intervals import accuracy_interval
from pipeline.models.senn import SennOutput
from pipeline.reporting.display import Part, Prose
from pipeline.reporting.study import closest, compared_with_published
from pipeline.study.definitions import Definition

_SATURATED = 0.9  # of |θ|, which tanh bounds by 1
_MOSTLY = 0.5
_FULL = "paper/report.html"  # of the full run, beside this run's
_OTHER_METHODS = "#senn-beside-other-methods-the-papers-figures"
_WHAT_WAS_RUN = "../docs/published-code.md#what-the-review-ran"


def findings(results: Results) -> Iterator[Part]:
    """Every finding, with a link to its evidence."""
    found = [
        *_losses(results),
        *_collapse(results),
        *_removal(results),
        *_saturation(results),
        *_other_methods(results),
        *_configs(results),
        *_full_mnist(results),
        *_strongest(results),
    ]
    yield Prose("\n".join(f"- {sentence}" for sentence in found))


def _losses(results: Results) -> Iterator[str]:
    """Which definition of the robustness loss gives whose curve."""
    for name in filter(results.experiments.__contains__, results.params.study):
        study, compared = compared_with_published(results.experiments[name])
        if not compared:
            continue
        most = study.lambdas[-1]
        of_definition: dict[Definition, list[str]] = {}
        for published, ranked in compared:
            others = wording.listed(closest(ranked)[1:])
            unless = f" (the seeds do not tell {others} apart)" if others else ""
            whose = f"{with_article(published.source)}’s{unless}"
            of_definition.setdefault(ranked[0].definition, []).append(whose)
        said = []
        for definition, curves in of_definition.items():
            lost = study.lost_at(definition, most)
            points = wording.with_bounds(f"{wording.points(lost.mean)} points", lost, 100, 1)
            said.append(
                f"{points} under `{definition}`, whose curve is closest to {wording.listed(curves)}"
            )
        lead = (
            "Whose curve comes out depends on the loss that is computed"
            if len(of_definition) > 1
            else "One loss comes closest to all published curves"
        )
        yield (
            f"**{lead}.** From λ = {lambda_label(study.lambdas[0])} to {lambda_label(most)}, "
            f"{results.experiments[name].title} loses {wording.listed(said)} "
            f"([Figure](#figure-study_lambda_{name}))."
        )


def _collapse(results: Results) -> Iterator[str]:
    """At which λ the models collapsed, and what their accuracy then is."""
    for name, experiment in results.experiments.items():
        cells = experiment.cells
        share = cells.groupby("robust_reg")["collapsed"].mean()
        lambdas = share.index[share > _MOSTLY].tolist()
        if not lambdas:
            continue
        robust = cells[cells["robust_reg"].isin(lambdas)]
        gain = robust["selection_gain"].mean()
        more = f"{wording.points(gain)} points more" if gain >= 5e-4 else "no more"
        yield (
            f"**The robust models of {experiment.title} have collapsed.** At λ = "
            f"{wording.lambdas(lambdas)}, {robust['collapsed'].sum():g} of {len(robust)} end up "
            "predicting a constant; the weights kept, the best of many validations, have "
            f"{more} validation accuracy than the last ones "
            f"([evidence](#collapsed-models-and-what-selection-gains-{name}))."
        )


def _removal(results: Results) -> Iterator[str]:
    """What is left of a prediction without any concept."""
    for name, experiment in results.experiments.items():
        if not experiment.learns_concepts or name not in results.params.explain.experiments:
            continue
        curves = experiment.method_curves
        of_concepts = (curves["method"] == "contribution") & (curves["curve"] == "deletion")
        ends = curves[of_concepts].sort_values("position")["value"].iloc[[0, -1]]
        whole, left = (f"{value:.2f}" for value in ends)
        much = "the same" if ends.iloc[1] > _MOSTLY * ends.iloc[0] else "little"
        yield (
            f"**Without its concepts, {experiment.title} predicts {much}.** With all of them set "
            "to their mean and the relevances held, the probability of the predicted class goes "
            f"from {whole} to {left} on average ([Figure](#figure-method_curves_{name}))."
        )


def _saturation(results: Results) -> Iterator[str]:
    """Whether relevances that tanh bounds are stuck at its ends."""
    shares = {}
    for experiment in results.experiments.values():
        if experiment.learns_concepts:
            sizes = torch.cat([_of_prediction(one).abs() for one in experiment.test_outputs])
            if float(sizes.max()) <= 1:
                shares[experiment.title] = float((sizes > _SATURATED).double().mean())
    if any(share > _MOSTLY for share in shares.values()):
        stuck = wording.listed([name for name, share in shares.items() if share > _MOSTLY])
        each = wording.listed([f"{wording.percent(v, 0)} ({name})" for name, v in shares.items()])
        yield (
            f"**The relevances of {stuck} saturate.** Of those for the predicted class, {each} are "
            f"larger than {_SATURATED} in size, where tanh allows no more than 1; they say for or "
            "against, and hardly how much ([evidence](#predictions-explained))."
        )


def _of_prediction(output: SennOutput) -> Tensor:
    """Relevances for the predicted class, (N, K)."""
    return output.relevances[torch.arange(len(output.logits)), :, output.logits.argmax(1)]


def _other_methods(results: Results) -> Iterator[str]:
    """Whether SENN beats other methods: as the paper compares them, and in fairness."""
    for verdict in from_table(results.verdicts):
        if verdict.claim.kind == "contest" and verdict.status in wording.OUTCOMES:
            yield (
                f"**“{verdict.claim.text}” {wording.OUTCOMES[verdict.status]} in the paper’s "
                f"setting.** In fairer ones: {verdict.remark} ([evidence]({_OTHER_METHODS}))."
            )


def _configs(results: Results) -> Iterator[str]:
    """What the review ran, and in how much this run differs from it."""
    counts = {
        results.experiments[name].title: len(results.experiments[name].deviations)
        for name in PROTOCOLS
        if name in results.experiments
    }
    if not counts:
        return
    departs = "This run follows what it ran."
    if any(counts.values()):
        named = wording.listed([f"{count} for {model}" for model, count in counts.items()])
        departs = (
            "From what it ran, this run departs in some settings, which the "
            f"[verdicts](#the-published-claims-one-by-one) name: {named}."
        )
    yield (
        "**The review’s configs are not what it ran**, as [its checkpoints and logs show]"
        f"({_WHAT_WAS_RUN}). {departs}"
    )


def _full_mnist(results: Results) -> Iterator[str]:
    """What the run of presets/paper.yaml says of the claims about full MNIST, if it is there."""
    tested = [
        verdict
        for verdict in from_table(results.full_verdicts)
        if verdict.claim.dataset == "mnist" and verdict.status in get_args(Decided)
    ]
    statuses = [verdict.status for verdict in tested]
    counts = [f"{statuses.count(s)} {s}" for s in get_args(Decided) if s in statuses]
    accuracies = [
        f"{wording.share(one.here)} at λ = {lambda_label(one.claim.lambdas[0])}"
        for one in tested
        if one.here and one.claim.experiment == "mnist_senn" and one.claim.kind == "accuracy"
    ]
    if counts and accuracies:
        yield (
            f"**On full MNIST, {wording.counted(len(tested), 'claim')} can be tested: "
            f"{wording.listed(counts)}.** SENN reaches {wording.listed(accuracies)} "
            f"([verdicts]({_FULL}#the-published-claims-one-by-one))."
        )


def _strongest(results: Results) -> Iterator[str]:
    """Which published accuracy of MNIST at the largest λ each definition of the loss gives."""
    (claim,) = (claim for claim in CLAIMS if claim.id == "mnist-collapse")
    here = results.experiments.get(claim.experiment)
    is_full = here is not None and here.settings.dataset == claim.dataset
    reports, page = results.reports, ""
    if not is_full:
        reports, page = results.full, _FULL
    path = reports / "study" / f"{claim.experiment}.csv"
    if not path.exists():
        return
    cells = pd.read_csv(path)
    at_most = cells[cells["robust_reg"] == claim.lambdas[0]]
    compared = {
        f"{variant}, {reduction}": Comparison(accuracy_interval(of_seeds), claim.numbers)
        for (variant, reduction), of_seeds in at_most.groupby(["variant", "reduction"], sort=False)
    }
    if not compared:
        return
    nearest = [one.left[0] if one.left else [] for one in compared.values()]
    depends = any(one != nearest[0] for one in nearest)
    whose = "depends on the" if depends else "is the same under every"
    said = [
        f"{wording.share(one.here)} under `{definition}`, which {one.sentence(with_numbers=False)}"
        for definition, one in compared.items()
    ]
    yield (
        f"**Which published accuracy SENN gets on full MNIST at λ = "
        f"{lambda_label(claim.lambdas[0])} {whose} loss.** Published are "
        f"{wording.listed([number.name for number in claim.numbers])}. Full MNIST gives "
        f"{'; '.join(said)} ([evidence]({page}#figure-study_lambda_{claim.experiment}))."
    )
