"""The report's section on the study: whose definition of the robustness loss costs what."""

import math
from collections.abc import Sequence

from pipeline.reporting import wording
from pipeline.reporting.claims import BEST_VALIDATION, PAPER, PUBLISHED_CURVES, PUBLISHED_RANGES
from pipeline.reporting.display import Picture, Prose, Several, Table
from pipeline.reporting.figures.study import accuracy_against, accuracy_by_definition
from pipeline.reporting.numbers import heading
from pipeline.reporting.results import ExperimentResults, Results
from pipeline.reporting.study_predictions import Study, predictions
from pipeline.reporting.study_published import (
    Nearness,
    PublishedLoss,
    conclusion,
    lost_at,
    nearness,
    published_losses,
)
from pipeline.reporting.style import lambda_label
from pipeline.study.axes import AXES
from pipeline.study.curves import Curves, Estimate, estimate

MEASURED = {
    "test_robustness_loss": "test robustness loss",
    "lipschitz_discrete": "Lipschitz ratio, test points",
}
_AXIS_NAMES = {
    "robust_reg": "λ as published",
    "per_example": "√B · λ under batch, λ under example",
    **MEASURED,
}
_BOUND = (
    " The dotted vertical line is the λ from which on a constant prediction is the optimum of "
    "review2020, if the axis reaches that far."
)
RESAMPLES = 1000  # of the seeds, for the intervals
_PUBLISHED_BATCH_SIZE = 200  # the review's, of both SENNs


def disagreement(results: Results) -> Several:
    """For every experiment studied: curves, predictions and what came of them, conclusions."""
    parts: list[Prose | Picture | Table] = []
    for name in results.params.study:
        cells, references = results.study(name)
        experiment = results.experiments[name]
        settings = experiment.settings
        curves = Curves(cells, settings.batch_size, RESAMPLES)
        study = Study(settings, cells, references, curves)
        parts += [Prose(heading(experiment)), Prose(_about(study)), *_pictures(name, study)]
        parts += [_predictions(study)]
        found = [(p, nearness(study, p)) for p in published_losses(name, study.lambdas)]
        parts += [_definitions(study, found), _axes(study)]
        parts.append(Prose("\n\n".join(_conclusions(experiment, study, found))))
    return Several(parts) if parts else Several([Prose("This run has no study.")])


def _about(study: Study) -> str:
    definitions = [definition for definition, _ in study.curves.definitions()]
    return (
        f"{len(study.cells)} models: {wording.counted(len(definitions), 'definition')} of the loss "
        f"(variant, reduction), λ = {wording.lambdas(study.lambdas)}, "
        f"{wording.counted(study.cells['seed'].nunique(), 'seed')}; batches of "
        f"{study.settings.batch_size}."
    )


def _pictures(name: str, study: Study) -> list[Picture]:
    most = study.lambdas[-1]
    lost = {d: 100 * row[0, 0] for d, row in study.curves.lost([most]).items()}
    ends = f"{min(lost.values()):.1f} to {max(lost.values()):.1f}".replace("-", "−")
    title = f"What λ = {lambda_label(most)} costs: {ends} points"
    curves = [
        curve
        for curve in PUBLISHED_CURVES
        if curve.experiment == name and curve.label in (BEST_VALIDATION, PAPER)
    ]
    ranges = [span for span in PUBLISHED_RANGES if span.experiment == name]
    spoken = wording.listed([f"{d} {points:.1f}" for d, points in lost.items()])
    figure = accuracy_by_definition(study, curves, ranges, title)
    weight = Picture(
        figure,
        f"study_lambda_{name}",
        f"Accuracy against λ by definition of the robustness loss. Points lost: {spoken}.",
        "Solid: this run, means over seeds with the 95 % intervals that verdicts rest on. Dashed: "
        "published, the review’s on its validation data."
        + (_BOUND if any(name.startswith("constant_from") for name in study.references) else ""),
    )
    bought = accuracy_against(study, MEASURED, "Accuracy against what λ bought")
    return [
        weight,
        Picture(
            bought,
            f"study_axes_{name}",
            "Accuracy of every model against its test robustness loss, in the paper’s definition, "
            "and against its Lipschitz ratio between test points, coloured by the variant it was "
            "trained with; the table of axes below has the distances between the curves.",
            "Dots are models, lines join means over seeds by rising λ (from right to left, as long "
            "as λ lowers what is measured). Values below a ten-thousandth of the largest are drawn "
            "there.",
        ),
    ]


def _predictions(study: Study) -> Table:
    rows = [(p.text, p.measured, p.outcome) for p in predictions(study)]
    return Table(("prediction", "measured", "outcome"), rows, kind="claims")


def _definitions(study: Study, found: Sequence[tuple[PublishedLoss, list[Nearness]]]) -> Table:
    """Accuracy lost, by definition, and how far its curve is from the published ones."""
    most = study.lambdas[-1]
    rows = []
    for definition, _ in study.curves.definitions():
        here = lost_at(study, definition, most)
        row = [str(definition), f"{wording.points(here.mean)}\n{wording.bounds(here, 100, 1)}"]
        for _, ranked in found:
            (own,) = [one for one in ranked if one.definition == definition]
            row.append(_with_bounds(own.distance))
        rows.append(row)
    header = ["definition", f"points lost, λ\u00a0=\u00a0{lambda_label(most)}"]
    header += [f"distance from the {published.source}’s curve" for published, _ in found]
    return Table(header, rows)


def _axes(study: Study) -> Table:
    rows = []
    for axis in AXES:
        texts = []
        for across in study.comparisons:
            texts.append(_with_bounds(estimate(study.errors[axis, across])))
        rows.append((_AXIS_NAMES[axis], *texts))
    header = [f"points between {across}s" for across in study.comparisons]
    return Table(("axis", *header), rows)


def _conclusions(
    experiment: ExperimentResults,
    study: Study,
    found: Sequence[tuple[PublishedLoss, list[Nearness]]],
) -> list[str]:
    said = [conclusion(published, ranked) for published, ranked in found]
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


def _fair_axis(study: Study) -> str:
    """Which λ axis would be fair, as far as the numbers say."""
    said = ["**A fair axis for λ.**"]
    if "reduction" in study.comparisons:
        weight = study.errors["robust_reg", "reduction"]
        per_example = study.errors["per_example", "reduction"]
        said.append(
            f"Between reductions, curves differ by {weight[0]:.1f} points at equal λ and by "
            f"{per_example[0]:.1f} at equal √B · λ"
            + _verdict(
                estimate(weight - per_example),
                ": λ is to be stated per example, whatever the reduction.",
                ": the weight √B does not explain them.",
            )
        )
    if "variant" in study.comparisons:
        weight = study.errors["robust_reg", "variant"]
        errors = {axis: study.errors[axis, "variant"] for axis in MEASURED}
        best = min(errors, key=lambda axis: errors[axis][0])
        said.append(
            f"Between variants, they differ by {weight[0]:.1f} points at equal λ, and by "
            f"{errors[best][0]:.1f} at equal {MEASURED[best]}, the better of the two axes measured"
            + _verdict(
                estimate(weight - errors[best]),
                ": that is the axis on which to compare them.",
                ". So no axis tried here is fair to all variants: they are different losses, not "
                "one loss in other units, and only whole curves can be compared.",
            )
        )
    return " ".join(said)


def _verdict(gain: Estimate, closer: str, farther: str) -> str:
    if gain.low > 0:
        return closer
    return farther if gain.high < 0 else ", a difference within chance."


def _shrinking(study: Study) -> str:
    """How learned concepts answered: their mean size at the largest λ against the smallest."""
    most = 10 ** study.curves.axis("concept_sparsity")[0]
    shares = {}
    for definition, own in study.curves.definitions():
        along = most[own]
        shares[definition] = float(along[-1] / along[0])
    low, high = min(shares.values()), max(shares.values())
    verb = "shrink" if high < 1 else "change"
    return (
        f"Learned concepts {verb}: at λ = {lambda_label(study.lambdas[-1])} their mean |h| is "
        f"{wording.percent(low, 0)} to {wording.percent(high, 0)} of that at λ = "
        f"{lambda_label(study.lambdas[0])}, by definition. The loss is proportional to the "
        "concepts’ size, so this lowers it without making any relevance steadier."
    )


def _with_bounds(error: Estimate) -> str:
    return f"{error.value:.1f}\n{wording.bounds(error, decimals=1)}"
