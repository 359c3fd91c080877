"""What the report says of a study in words: predictions, what was measured, and conclusions."""

import math
from collections.abc import Sequence

from pipeline.claims.results import ExperimentResults
from pipeline.metrics.intervals import Interval
from pipeline.reporting import wording
from pipeline.reporting.style import lambda_label
from pipeline.study.measured import MeasuredStudy, of_draws
from pipeline.study.predictions import Prediction
from pipeline.study.published import Nearness, PublishedLoss

BOUGHT = {  # columns of the cells: what λ is meant to lower
    "test_robustness_loss": "test robustness loss",
    "lipschitz_discrete": "Lipschitz ratio, test points",
}
_POSSIBLE = 0.05  # a definition nearest in fewer draws than this is not taken for the nearest
_PUBLISHED_BATCH_SIZE = 200  # the review's, of both SENNs


def predicted(study: MeasuredStudy, prediction: Prediction) -> tuple[str, str]:
    """A prediction, and what was measured, each as a text."""
    about, first = prediction.about, prediction.measured[0]
    most, linear = lambda_label(study.lambdas[-1]), wording.percent(prediction.expected)
    if prediction.kind == "a batch weighs √B":
        return (
            f"{about}: λ weighs √{study.settings.batch_size} = {prediction.expected:.1f} times as "
            "much under batch as under example",
            f"{first.mean:.1f} times\n{wording.bounds(first, decimals=1)}",
        )
    if prediction.kind == "linear is free":
        return (
            f"{about}: λ = {most} leaves at least the accuracy of a linear classifier, {linear}",
            f"{wording.percent(first.mean)}\n{wording.bounds(first, 100, 1)}",
        )
    if prediction.kind == "constant in the end":
        return (
            f"{about}: from λ = {prediction.bound:.2g} on a constant prediction is the optimum, "
            f"and accuracy below a linear classifier’s, {linear}",
            f"{wording.listed([wording.percent(here.mean) for here in prediction.measured])}\n"
            f"at λ = {wording.lambdas(prediction.lambdas)}\n"
            + ", ".join(wording.bounds(here, 100, 1) for here in prediction.measured),
        )
    if prediction.kind == "review costs more":
        more, low, high = (f"{100 * value:+.1f}".replace("-", "−") for value in first)
        return (
            f"{about}: λ = {most} costs more accuracy under review2020 than under paper2018",
            f"{more} points\n{low} to {high}",
        )
    return (
        "At equal test robustness loss the variants differ less in accuracy than at equal λ",
        f"{first.mean:.2f} times as much\n{wording.bounds(first)}",
    )


def conclusions(
    experiment: ExperimentResults,
    study: MeasuredStudy,
    compared: Sequence[tuple[PublishedLoss, list[Nearness]]],
) -> list[str]:
    """What the numbers allow to say, in Markdown, a paragraph each."""
    said = [conclusion(published, ranked) for published, ranked in compared]
    if study.comparisons:
        said.append(_fair_axis(study))
    size = study.settings.batch_size
    if size != _PUBLISHED_BATCH_SIZE:
        ratio = math.sqrt(size / _PUBLISHED_BATCH_SIZE)
        said.append(
            f"Batches here are of {size}, the review’s were of {_PUBLISHED_BATCH_SIZE}: if λ "
            f"weighs √B under batch, λ = 1 here is worth what λ = {ratio:.2g} was there."
        )
    if experiment.learns_concepts:
        said.append(_shrinking(study))
    return said


def _fair_axis(study: MeasuredStudy) -> str:
    """Which λ axis would be fair, as far as the numbers say."""
    said = ["**A fair axis for λ.**"]
    if "reduction" in study.comparisons:
        weight = study.errors["robust_reg", "reduction"]
        per_example = study.errors["per_example", "reduction"]
        said.append(
            f"Between reductions, curves differ by {weight[0]:.1f} points at equal λ and by "
            f"{per_example[0]:.1f} at equal √B · λ"
            + _verdict(
                of_draws(weight - per_example),
                ": λ is to be stated per example, whatever the reduction.",
                ": the weight √B does not explain them.",
            )
        )
    if "variant" in study.comparisons:
        weight = study.errors["robust_reg", "variant"]
        errors = {axis: study.errors[axis, "variant"] for axis in BOUGHT}
        best = min(errors, key=lambda axis: errors[axis][0])
        said.append(
            f"Between variants, they differ by {weight[0]:.1f} points at equal λ, and by "
            f"{errors[best][0]:.1f} at equal {BOUGHT[best]}, the better of the two axes measured"
            + _verdict(
                of_draws(weight - errors[best]),
                ": that is the axis on which to compare them.",
                ". So no axis tried here is fair to all variants: they are different losses, not "
                "one loss in other units, and only whole curves can be compared.",
            )
        )
    return " ".join(said)


def _verdict(gain: Interval, closer: str, farther: str) -> str:
    if gain.low > 0:
        return closer
    return farther if gain.high < 0 else ", a difference within chance."


def _shrinking(study: MeasuredStudy) -> str:
    """How learned concepts answered: their mean size at the largest λ against the smallest."""
    most = 10 ** study.curves.axis("concept_sparsity")[0]
    shares = {}
    for definition, of_it in study.curves.definitions():
        along = most[of_it]
        shares[definition] = float(along[-1] / along[0])
    low, high = min(shares.values()), max(shares.values())
    verb = "shrink" if high < 1 else "change"
    return (
        f"Learned concepts {verb}: at λ = {lambda_label(study.lambdas[-1])} their mean |h| is "
        f"{wording.percent(low, 0)} to {wording.percent(high, 0)} of that at λ = "
        f"{lambda_label(study.lambdas[0])}, by definition. The loss is proportional to the "
        "concepts’ size, so this lowers it without making any relevance steadier."
    )


def conclusion(published: PublishedLoss, ranked: Sequence[Nearness]) -> str:
    """What the numbers allow to say of one published curve, in Markdown.

    Parameters
    ----------
    ranked : as `nearness` returns them.
    """
    whose = f"the {published.source}’s curve"
    possible = [one for one in ranked if one.nearest >= _POSSIBLE or one is ranked[0]]
    names = wording.listed([f"`{one.definition}`" for one in possible])
    first = ranked[0]
    if len(possible) > 1:
        said = (
            f"**Nearest to {whose}: {names}, which the seeds cannot tell apart.** The first is "
            f"{_distance(first)} away."
        )
    else:
        said = (
            f"**Nearest to {whose}: {names}**, {_distance(first)} away, in "
            f"{wording.percent(first.nearest)} of the draws."
        )
        if len(ranked) > 1:
            said += f" Next is `{ranked[1].definition}`, {_distance(ranked[1])}."
    most, there = lambda_label(published.lambdas[-1]), _there(published)
    same = [one for one in ranked if one.inside]
    if same:
        holding = wording.listed([f"`{one.definition}` {_lost(one)}" for one in same])
        return f"{said} The {there} lost there at λ = {most} lie within the interval of {holding}."
    return (
        f"{said} **But none is like it**: λ = {most} cost {there} there, under "
        f"`{first.definition}` {_lost(first)}."
    )


def _there(published: PublishedLoss) -> str:
    low, high = published.low[-1], published.high[-1]
    if low == high:
        return f"{wording.points(high)} points"
    return f"at most {wording.points(high)} points"


def _lost(one: Nearness) -> str:
    return f"{wording.points(one.here.mean)} points ({wording.bounds(one.here, 100, 1)})"


def _distance(one: Nearness) -> str:
    away = one.distance
    return f"{away.mean:.1f} points ({wording.bounds(away, decimals=1)})"
