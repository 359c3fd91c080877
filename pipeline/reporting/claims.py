"""The report's first section: what the run is, and its verdict on every published claim."""

from collections.abc import Iterator, Mapping, Sequence
from typing import get_args

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pipeline.claims import wording
from pipeline.claims.comparison import Comparison, Decided
from pipeline.claims.results import Results
from pipeline.claims.verdicts import Verdict, from_table
from pipeline.claims.wording import lambda_label
from pipeline.core.cells import rows_at
from pipeline.reporting import style
from pipeline.reporting.common import collapsed
from pipeline.reporting.display import STATUSES, Part, Picture, Prose, Table

_MARKERS = {"review": "D", "paper": "^", "ETH": "s"}  # of published numbers
_ABOVE = 0.33  # rows between the published numbers and the one measured below them
_BELOW = 0.3  # and between this and that of the full run
_FULL_RUN = "[the full run](paper/report.html#the-published-claims-one-by-one)"
_MARKED = ("reproduced", "undecided", "not reproduced", "not tested")  # in the figure
_COUNTS = {
    "reproduced": "reproduces {}",
    "undecided": "cannot decide {}",
    "not reproduced": "does not reproduce {}",
    "not tested": "cannot test {}",
    "left to the reader": "leaves {} for the reader to judge",
}


def lead(results: Results) -> Iterator[Part]:
    """The verdicts in one sentence, and what this run is."""
    params = results.params
    verdicts = from_table(results.verdicts)
    models = sum(len(experiment.cells) for experiment in results.experiments.values())
    grids = {params.lambdas(name) for name in results.experiments}
    counts_of_seeds = {len(experiment.seeds) for experiment in results.experiments.values()}
    trained = [
        e.title
        + ("" if len(grids) == 1 else f" (λ = {wording.lambdas(params.lambdas(name))})")
        + ("" if len(counts_of_seeds) == 1 else f" ({wording.counted(len(e.seeds), 'seed')})")
        for name, e in results.experiments.items()
    ]
    together = f", with λ = {wording.lambdas(*grids)}" if len(grids) == 1 else ""
    if len(counts_of_seeds) == 1:
        together += f", {wording.counted(max(counts_of_seeds), 'seed')} each"
    data = {e.settings.dataset: e.data for e in results.experiments.values()}
    sizes = [f"{len(d.train):,} and {len(d.test):,} ({name})" for name, d in data.items()]
    first_seeds = " or ".join(dict.fromkeys(str(e.seeds[0]) for e in results.experiments.values()))
    robustness = params.robustness
    probes = (
        "computed exactly"
        if robustness.probes == "exact"
        else f"estimated with {wording.counted(robustness.probes, 'random probe')} per example"
    )
    yield Prose(
        f"**Of {len(verdicts)} published claims, this run {_counts(verdicts)}.** "
        f"{_full_run(results)}{_evidence(verdicts)}It trained {wording.counted(models, 'model')}: "
        f"{wording.listed(trained)}{together}{_besides(results)}. Training and test examples: "
        f"{wording.listed(sizes)}. The robustness loss in training is `{robustness.variant}`, "
        f"{probes}. Where results are for one λ, it is {lambda_label(params.robust_reg)}; where "
        f"they are for one model, its seed is the first, {first_seeds}."
    )


def _besides(results: Results) -> str:
    """What else it trained; empty if nothing."""
    params, pretrained = results.params, results.pretrained
    studied = [results.experiments[one] for one in params.study if one in results.experiments]
    counts = {
        f"on {wording.counted(len(results.tables), 'small table')}": sum(
            len(one.cells) for one in results.tables.values()
        ),
        "on texts": sum(len(one.cells) for one in results.texts.values()),
        "to compare losses": sum(len(one.study) for one in studied),
        "to measure rounding": sum(len(one.roundings) for one in studied),
        "β-VAEs": results.vae_curves["seed"].nunique() if pretrained else 0,
        "tokenizers": 0 if results.tokenizer.empty else len(params.tokenizer.seeds),
    }
    others = [f"{count:,} {what}" for what, count in counts.items() if count]
    return f"; and besides, {wording.listed(others)}" if others else ""


def elsewhere(results: Results) -> dict[str, Verdict]:
    """The full run's verdicts on claims that it decides and this run cannot test, by claim."""
    untested = {v.claim.id for v in from_table(results.verdicts) if v.status == "not tested"}
    return {
        verdict.claim.id: verdict
        for verdict in from_table(results.full_verdicts)
        if verdict.claim.id in untested and verdict.status in get_args(Decided)
    }


def _full_run(results: Results) -> str:
    """What the full run says of the claims that this one cannot test; empty without."""
    full = [*elsewhere(results).values()]
    return f"**Of those that it cannot test, {_FULL_RUN} {_counts(full)}.** " if full else ""


def _counts(verdicts: Sequence[Verdict]) -> str:
    """``reproduces 3, does not reproduce 2 and cannot test 1``."""
    statuses = [verdict.status for verdict in verdicts]
    return wording.listed(
        [_COUNTS[one].format(statuses.count(one)) for one in _COUNTS if one in statuses]
    )


def _evidence(verdicts: Sequence[Verdict]) -> str:
    """How much the tested quantities tell apart; empty if there are none."""
    compared = [
        Comparison(verdict.here, verdict.claim.numbers)
        for verdict in verdicts
        if verdict.here is not None
        and verdict.status in get_args(Decided)
        and verdict.claim.numbers
    ]
    if not compared:
        return ""
    numbers = sum(len(one.numbers) for one in compared)
    excluded = sum(len(one.excluded) for one in compared)
    return (
        "A claim is one quantity, however many numbers were published of it. Of what was tested "
        f"there are {wording.counted(numbers, 'published number')}, and {excluded} of them "
        f"{'lies' if excluded == 1 else 'lie'} "
        "outside this run’s intervals. "
    )


def claims(results: Results) -> Iterator[Part]:
    """All claims: figure and table."""
    verdicts, full = from_table(results.verdicts), elsewhere(results)
    measured = [v for v in verdicts if v.claim.numbers and (v.here or v.claim.id in full)]
    if measured:
        tested = sum(verdict.status != "not tested" for verdict in measured)
        yield Picture(
            claims_at_a_glance(measured, "Published numbers and this run’s intervals", full),
            "claims",
            f"Dot plot of {len(measured)} quantities: all published numbers of each beside the "
            "95 % interval of this run; the table below has the same numbers.",
            f"Claims with published numbers, {tested} of them tested: "
            f"{', '.join(f'{STATUSES[status][0]} {status}' for status in _MARKED)}. Blue lines are "
            "95 % intervals; they exclude the numbers outside them. "
            f"{_FULL_CAPTION * bool(full)}Rows are the claims of the table below.",
        )
    rows = [_claim_row(verdict, results, full.get(verdict.claim.id)) for verdict in verdicts]
    yield Table(("claim", "λ", "published", "this run", "verdict"), rows, kind="claims")


_FULL_CAPTION = (
    "Black ones below are those of the full run, with all of MNIST and 20 Newsgroups; "
    "the second mark is its verdict. "
)


def _note(verdict: Verdict, results: Results) -> str:
    """A sentence if the verdict rests on models that collapsed."""
    claim, experiment = verdict.claim, results.everything.get(verdict.claim.experiment)
    # Nobody trains a linear classifier with λ.
    if verdict.here is None or experiment is None or claim.kind == "linear accuracy":
        return ""
    lambdas = claim.lambdas or (results.params.robust_reg,)
    counts = [text for value in lambdas for text in collapsed(rows_at(experiment.cells, value))]
    if not counts:
        return ""
    return (
        f"models collapsed in training ({', '.join(counts)}): their accuracy is that of the best "
        "of many validations, not of what they learned"
    )


def _measured(verdict: Verdict) -> tuple[str, str]:
    """The number of a run, and its interval."""
    here, kind = verdict.here, verdict.claim.kind
    if here is None:
        return wording.MISSING, ""
    if kind in ("qualitative", "attack"):
        return f"{here.mean:.2f}", wording.bounds(here)
    if kind in ("accuracy lost", "ahead of linear", "trade-off", "power"):
        return f"{wording.points(here.mean)} points", wording.bounds(here, 100, 1)
    return wording.percent(here.mean), wording.bounds(here, 100, 1)


def _claim_row(verdict: Verdict, results: Results, full: Verdict | None) -> tuple[str, ...]:
    claim = verdict.claim
    note = _note(verdict, results)
    measured, said = [*_measured(verdict)], [verdict.status, verdict.reason, verdict.remark, note]
    if full is not None:
        number, interval = _measured(full)
        measured += [f"full run: {number}", interval] if interval else []
        said += [f"full run: {STATUSES[full.status][0]} {full.status}", full.reason, full.remark]
    published = [f"{number.printed}, {number}" for number in claim.numbers]
    headline, rivals = results.params.robust_reg, results.params.rivals.robust_reg
    of_words = {"qualitative": headline, "attack": headline, "power": headline, "contest": rivals}
    lambdas = (of_words[claim.kind],) if claim.kind in of_words else claim.lambdas
    row = (
        f"{claim.text}\n{claim.id}",
        " to ".join(lambda_label(value) for value in lambdas) or wording.MISSING,
        "\n".join(published or [claim.in_words]),
        "\n".join(filter(None, measured)),
        "\n".join(filter(None, said)),
    )
    return tuple(text.replace(" %", "\u00a0%").replace(" λ", "\u00a0λ") for text in row)


@style.styled
def claims_at_a_glance(
    verdicts: Sequence[Verdict], title: str, full: Mapping[str, Verdict]
) -> Figure:
    """A row per claim that has both published numbers and one of this run or the full one.

    This run's mean is filled if it tests the claim, hollow if it does not. `full` has verdicts of
    the full run, by claim; they are drawn below.
    """
    figure = style.new_figure(0.95 + 0.34 * len(verdicts), title)
    axes, labels, lows = figure.subplots(), [], [0.0]
    for row, verdict in enumerate(verdicts):
        claim, other = verdict.claim, full.get(verdict.claim.id)
        for number in claim.numbers:
            colour = style.SOURCES[number.source]
            wide: dict = {"color": colour, "linewidth": 5, "alpha": 0.35, "zorder": 1}
            axes.plot([number.low, number.high], 2 * [row - _ABOVE], solid_capstyle="butt", **wide)
            middle = (number.low + number.high) / 2
            axes.plot(
                middle, row - _ABOVE, _MARKERS[number.source], color=colour, markersize=5, zorder=4
            )
            style.spot(axes, middle, row - _ABOVE, f"{number}: {number.printed}")
        face = "white" if verdict.status == "not tested" else style.BLUE
        own: dict = {"color": style.BLUE, "mfc": face, "markersize": 6}
        theirs: dict = {"color": style.INK, "markersize": 4}
        drawn = (("this run", verdict, 0, own), ("full run", other, _BELOW, theirs))
        for name, one, below, look in drawn:
            if one and (here := one.here):
                place = row + below
                axes.plot([here.low, here.high], 2 * [place], color=look["color"], linewidth=2.2)
                axes.plot(here.mean, place, "o", zorder=3, **look)
                mean = wording.share(here)
                style.spot(axes, here.mean, place, f"{name}: {mean}")
                lows.append(here.low)
        marks = "".join(STATUSES[one.status][0] for one in (verdict, other) if one)
        labels.append(f"{claim.id}  {marks}")
    style.name_rows(axes, labels)
    axes.set_ylim(len(verdicts) - 0.5, -0.7)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="y", color=style.FAINT, linewidth=0.5)
    axes.set_xlim(min(lows) - 0.01, 1.02)
    style.percent_ticks(axes.xaxis)
    handles = [
        Line2D([], [], color=style.BLUE, marker="o", label="this run"),
        Line2D([], [], color=style.BLUE, marker="o", mfc="white", label="this run (not tested)"),
        *([Line2D([], [], color=style.INK, marker="o", label="full run")] if full else []),
        *(
            Line2D([], [], color=style.SOURCES[source], marker=marker, linestyle="", label=source)
            for source, marker in _MARKERS.items()
        ),
    ]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=5 - bool(full), columnspacing=1.2
    )
    return figure
