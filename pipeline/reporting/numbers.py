"""The report's sections made of numbers: claims, accuracy, metrics, training, provenance."""

import math
import platform
from importlib import metadata

import pandas as pd
import yaml

from pipeline.reporting import wording
from pipeline.reporting.claims import BEST_VALIDATION, PAPER, PUBLISHED_CURVES, PUBLISHED_RANGES
from pipeline.reporting.display import Listing, Picture, Prose, Several, Table
from pipeline.reporting.evidence import qualitative_evidence
from pipeline.reporting.figures.accuracy import accuracy_against_lambda
from pipeline.reporting.figures.claims import claims_at_a_glance
from pipeline.reporting.figures.stability import CERTIFIED, EXACT, LOWER, certified_stability
from pipeline.reporting.figures.training import training_curves
from pipeline.reporting.results import ExperimentResults, Results
from pipeline.reporting.style import lambda_label
from pipeline.reporting.verdicts import Verdict, judge

STABILITY = {
    "accuracy": "accuracy, %",
    "test_robustness_loss": "robustness loss",
    "lipschitz_discrete": "Lipschitz, test points",
    "lipschitz_local": "Lipschitz, box",
    EXACT: "Lipschitz, input",
    "faithfulness_relevance": "faithfulness, relevance",
    "faithfulness_contribution": "faithfulness, contribution",
}
CONCEPTS = {
    "reconstruction_mse": "reconstruction error",
    "concept_correlation": "correlation",
    "concept_sparsity": "sparsity",
}
NOTES = {
    BEST_VALIDATION: "Along λ, the review published its best validation accuracy only.",
    PAPER: "Of the paper’s curve only the ends are quoted.",
}
_PACKAGES = ("torch", "numpy", "pandas", "matplotlib", "scipy", "papermill", "nbconvert")


def heading(experiment: ExperimentResults) -> str:
    """A Markdown heading for `experiment`."""
    settings = experiment.settings
    return f"### {settings.model_class} on {settings.dataset} (`{experiment.name}`)"


def verdicts(results: Results) -> list[Verdict]:
    """A verdict on every claim."""
    experiments = results.experiments
    return judge(
        {name: experiment.cells for name, experiment in experiments.items()},
        {name: experiment.settings.dataset for name, experiment in experiments.items()},
        qualitative_evidence(results),
    )


def lead(results: Results) -> Prose:
    """What this run is, and its verdicts in one sentence."""
    params = results.params
    models = sum(len(experiment.cells) for experiment in results.experiments.values())
    grids = {params.lambdas(name) for name in results.experiments}
    parts = [
        f"{e.settings.model_class} on {e.settings.dataset}"
        + ("" if len(grids) == 1 else f" (λ = {wording.lambdas(params.lambdas(name))})")
        for name, e in results.experiments.items()
    ]
    together = f", each with λ = {wording.lambdas(*grids)}" if len(grids) == 1 else ""
    found = [verdict.status for verdict in verdicts(results)]
    counts = [
        words.format(found.count(status))
        for status, words in (
            ("reproduced", "reproduces {}"),
            ("not reproduced", "does not reproduce {}"),
            ("not tested", "cannot test {}"),
            ("left to the reader", "leaves {} to the reader, with a number to go by"),
        )
        if status in found
    ]
    robustness = params.robustness
    probes = (
        "computed exactly"
        if robustness.probes == "exact"
        else f"estimated with {wording.counted(robustness.probes, 'random probe')} per example"
    )
    seeds = wording.counted(len(params.seeds), "seed")
    data = {e.settings.dataset: e.data for e in results.experiments.values()}
    sizes = [f"{name} {len(d.train):,} and {len(d.test):,}" for name, d in data.items()]
    return Prose(
        f"**Of {len(found)} published claims, this run {wording.listed(counts)}.** It trained "
        f"{wording.counted(models, 'model')}: {wording.listed(parts)}{together}, from {seeds}. "
        f"Training and test examples: {'; '.join(sizes)}. "
        f"The robustness loss in training is the variant `{robustness.variant}`, {probes}. Where "
        f"one λ had to be chosen, it is {lambda_label(params.robust_reg)}; where one seed, it is "
        f"{params.seeds[0]}, the first."
    )


def claims(results: Results) -> Several:
    """All claims: figure and table."""
    judged = verdicts(results)
    measured = [v for v in judged if v.here is not None and v.claim.low is not None]
    parts: list[Picture | Table] = []
    if measured:
        tested = sum(verdict.status != "not tested" for verdict in measured)
        figure = claims_at_a_glance(measured, "Published numbers, and this run’s")
        parts.append(
            Picture(
                figure,
                "claims",
                f"Dot plot of {len(measured)} published accuracies beside the 95 % intervals of "
                "this run; the table below has the same numbers.",
                f"{wording.counted(tested, 'claim')} tested: ✓ reproduced, ✗ not reproduced, ○ not "
                "tested. Blue lines are 95 % intervals, rows are the claims of the table.",
            )
        )
    rows = [_claim_row(verdict, results.params.robust_reg) for verdict in judged]
    header = ("claim", "λ", "published", "this run", "verdict")
    return Several([*parts, Table(header, rows, kind="claims")])


def _claim_row(verdict: Verdict, headline: float) -> tuple[str, ...]:
    claim = verdict.claim
    here = verdict.here
    if here is None:
        said = wording.MISSING
    elif claim.kind == "qualitative":
        said = f"{here.mean:.2f}\n{wording.bounds(here)}"
    elif claim.kind == "accuracy lost":
        said = f"{wording.points(here.mean)} points\n{wording.bounds(here, 100, 1)}"
    else:
        said = f"{wording.percent(here.mean)}\n{wording.bounds(here, 100, 1)}"
    lambdas = " to ".join(lambda_label(value) for value in claim.lambdas or (headline,))
    judged = "\n".join(filter(None, (verdict.status, verdict.reason, verdict.remark)))
    row = (
        f"{claim.text}\n{claim.id}",
        lambdas,
        f"{claim.published}\n{claim.source}",
        said,
        judged,
    )
    return tuple(text.replace(" %", "\u00a0%").replace(" λ", "\u00a0λ") for text in row)


def accuracy(results: Results) -> Several:
    """Accuracy against λ, a figure per experiment."""
    parts: list[Prose | Picture] = []
    for name, experiment in results.experiments.items():
        title = _accuracy_title(experiment)
        curves = [curve for curve in PUBLISHED_CURVES if curve.experiment == name]
        ranges = [published for published in PUBLISHED_RANGES if published.experiment == name]
        figure = accuracy_against_lambda(experiment.cells, curves, ranges, title)
        seeds = len(results.params.seeds)
        drawn = (
            f"Dots are the {seeds} seeds, the blue line is their mean, its bars are the 95 % "
            "intervals that the verdicts rest on."
            if seeds > 1
            else "One seed: there is no interval to draw."
        )
        drawn += "".join(
            f" {NOTES[label]}" for label in NOTES if any(c.label == label for c in curves)
        )
        parts.append(Prose(heading(experiment)))
        parts.append(Picture(figure, f"accuracy_{name}", f"{title}. {_spoken(experiment)}", drawn))
    return Several(parts)


def _accuracy_title(experiment: ExperimentResults) -> str:
    means = experiment.cells.groupby("robust_reg")["accuracy"].mean()
    if len(means) < 2:
        return f"{wording.percent(means.iloc[0])} at λ = {lambda_label(means.index[0])}"
    lost = 100 * (means.iloc[0] - means.iloc[-1])
    ends = f"λ = {lambda_label(means.index[0])} to {lambda_label(means.index[-1])}"
    return f"{abs(lost):.1f} points {'lost' if lost >= 0 else 'gained'} from {ends}"


def _spoken(experiment: ExperimentResults) -> str:
    means = experiment.cells.groupby("robust_reg")["accuracy"].mean()
    values = [
        f"{wording.percent(mean)} at {lambda_label(robust_reg)}"
        for robust_reg, mean in zip(means.index, means, strict=True)
    ]
    return f"Mean test accuracy: {wording.listed(values)}."


def stability(results: Results) -> Several:
    """Stability and faithfulness, a table and a figure per experiment."""
    parts: list[Prose | Table | Picture] = []
    for experiment in results.experiments.values():
        parts += [Prose(heading(experiment)), _metric_table(results, experiment, STABILITY)]
        if (experiment.cells.filter([LOWER, EXACT, CERTIFIED]) > 0).any(axis=None):
            parts.append(_certified(experiment))
    return Several(parts)


def _certified(experiment: ExperimentResults) -> Picture:
    found, certified = (experiment.headline[name].mean() for name in (LOWER, CERTIFIED))
    title = f"Worst ratio at λ = {lambda_label(experiment.robust_reg)}: "
    if math.isnan(certified):
        title += f"at least {wording.significant(found)}"
    else:
        title += f"{wording.significant(found)} to {wording.significant(certified)}"
    return Picture(
        certified_stability(experiment.cells, title),
        f"stability_{experiment.name}",
        f"{title}. Against λ, a band from the largest ratio found to the certified bound, and the "
        "exact ratio at the example; column “Lipschitz, input” above has the same numbers.",
        "Medians over test examples, means over seeds; rings are seeds.",
    )


def concept_quality(results: Results) -> Several:
    """Fidelity, diversity and sparsity of learned concepts, a table per experiment."""
    parts: list[Prose | Table] = []
    for experiment in results.experiments.values():
        if experiment.learns_concepts:
            parts += [Prose(heading(experiment)), _metric_table(results, experiment, CONCEPTS)]
    return Several(parts or [Prose("This run has no learned concepts.")])


def _metric_table(
    results: Results, experiment: ExperimentResults, columns: dict[str, str]
) -> Table:
    shown = {key: name for key, name in columns.items() if key in experiment.cells}
    lambdas = results.params.lambdas(experiment.name)
    rows = []
    for robust_reg in lambdas:
        cells = experiment.cells[experiment.cells["robust_reg"] == robust_reg]
        rows.append((lambda_label(robust_reg), *(_cell_text(key, cells) for key in shown)))
    chosen = {lambdas.index(experiment.robust_reg)}
    return Table(("λ", *shown.values()), rows, marked=frozenset(chosen))


def _cell_text(key: str, cells: pd.DataFrame) -> str:
    spread = wording.percent_and_spread if key == "accuracy" else wording.mean_and_spread
    text = spread(cells[key])
    if key == EXACT:
        ends = (cells[end].mean() for end in (LOWER, CERTIFIED))
        text += "\n" + " to ".join(
            wording.MISSING if math.isnan(end) else wording.significant(end) for end in ends
        )
    return text


def training(results: Results) -> Several:
    """Training curves, a figure per experiment."""
    parts: list[Prose | Picture] = []
    for name, experiment in results.experiments.items():
        panels = {
            "valid_accuracy": "validation accuracy",
            "train_classification": "cross-entropy, training",
            "train_robustness": "robustness loss, training",
        }
        if experiment.settings.concept_reg > 0:
            panels["train_concept"] = "concept loss, training"
        figure = training_curves(experiment.curves, panels, "How training went")
        alt = (
            f"Training curves of {name}: {wording.listed(list(panels.values()))} against steps, "
            "one line per λ and seed."
        )
        parts.append(Prose(heading(experiment)))
        parts.append(Picture(figure, f"training_{name}", alt))
    return Several(parts)


def provenance(results: Results) -> Several:
    """Versions, devices, data and code: what decides the numbers above."""
    rows = []
    for name, experiment in results.experiments.items():
        described = experiment.metadata
        rows.append(
            (
                name,
                str(len(described)),
                *(_distinct(described, key) for key in ("torch", "device")),
                *(_distinct(described, key, shown=12) for key in ("data", "code")),
            )
        )
    header = ("experiment", "models", "torch", "device", "data", "training code")
    versions = [f"Python {platform.python_version()}"]
    versions += [f"{package} {metadata.version(package)}" for package in _PACKAGES]
    # Where it ran is said by the weights; these in params.yaml say only what was asked for.
    asked = {"device", "train"}
    params = results.params.model_dump(mode="json", exclude=asked, exclude_none=True)
    text = yaml.safe_dump(params, sort_keys=False, allow_unicode=True, default_flow_style=None)
    return Several(
        [
            Table(header, rows, kind="words"),
            Prose(f"This page was made with {wording.listed(versions)}."),
            Listing("All parameters (params.yaml)", text),
        ]
    )


def _distinct(described: list[dict], key: str, shown: int | None = None) -> str:
    """The values of `key` among weights' metadata: one, if all were made alike."""
    values = dict.fromkeys(str(one.get(key, "unknown"))[:shown] for one in described)
    return ", ".join(values)
