"""The report's sections on texts: coloured words, explanatory power, and the tokenizer."""

from collections.abc import Iterator

import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor

from pipeline.claims.results import ExperimentResults, Results
from pipeline.explanations.method import Background
from pipeline.explanations.methods import METHODS
from pipeline.metrics.intervals import Interval
from pipeline.metrics.word_power import COMPARED, REFERENCE, per_word, words_of
from pipeline.reporting import style, wording
from pipeline.reporting.common import pick
from pipeline.reporting.display import Folded, Picture, Prose, Several, Table, Words

DOCUMENTS = 5
RANKS = {0: "the predicted class", 1: "the runner-up"}
_NONE = "This run has no texts."


def words(results: Results) -> Several:
    """The same test documents by every method, words coloured by their relevance."""
    parts: list[Prose | Words | Folded] = []
    for name, experiment in results.texts.items():
        parts += [Prose(f"### {experiment.settings.dataset} (`{name}`)"), *_documents(experiment)]
    return Several(parts or [Prose(_NONE)])


def _documents(experiment: ExperimentResults) -> Iterator[Prose | Words | Folded]:
    data, model = experiment.data, experiment.model
    chosen = pick(data.test.y, DOCUMENTS)
    x, places = data.test.x[chosen], words_of(data.test)[chosen]
    shares = model(x).logits.softmax(1)
    ranked = shares.argsort(1, descending=True)
    explained = {
        (method, rank): _weights(method, experiment, x, ranked[:, rank])
        for method in sorted(COMPARED, key=lambda name: name != REFERENCE)
        for rank in RANKS
    }
    topics = data.class_names
    for row, document in enumerate(places):
        there = document.nonzero().flatten()
        spelled = [data.vocabulary[place] for place in document[there].tolist()]
        first = int(ranked[row, 0])
        share = wording.percent(float(shares[row, first]), 0)
        truth = topics[int(data.test.y[chosen[row]])]
        yield Prose(f"**A document about {truth}**, predicted {topics[first]} ({share})")
        texts = [
            Words(
                f"{METHODS[method].label}, for {RANKS[rank]}, {topics[int(ranked[row, rank])]}",
                spelled,
                weights[row, there].tolist(),
            )
            for (method, rank), weights in explained.items()
        ]
        yield from texts[: len(RANKS)]
        yield Folded("The same by other methods", texts[len(RANKS) :])


def _weights(method: str, experiment: ExperimentResults, x: Tensor, target: Tensor) -> Tensor:
    """What a method says of every word, over the largest of its text, (N, T)."""
    explain = METHODS[method].build(Background.of(experiment.data))
    of_words = per_word(explain(experiment.model, x, target)).detach()
    return of_words / of_words.abs().amax(1, keepdim=True).clamp(min=torch.finfo(x.dtype).tiny)


def power(results: Results) -> Several:
    """A table per experiment: the explanatory power index of every kind of word weights."""
    parts: list[Prose | Table] = []
    for name, experiment in results.texts.items():
        if (rows := experiment.power).empty:
            continue
        first = rows.iloc[0]
        seeds = wording.counted(int(first["seeds"]), "seed")
        parts += [
            Prose(f"### {experiment.settings.dataset} (`{name}`)"),
            Prose(f"{first['documents']} test documents, {seeds}."),
            _power_table(rows),
        ]
    return Several(parts or [Prose(_NONE)])


def _power_table(rows: pd.DataFrame) -> Table:
    spaces = {"embedding": "embeddings", "one_hot": "one-hot vectors"}
    tables = {space: rows[rows["vectors"] == space].set_index("label") for space in spaces}
    labels = list(tables["embedding"].index)
    best = {
        (labels.index(table["power"].idxmax()), column)
        for column, table in enumerate(tables.values(), start=1)
    }
    texts = [(label, *(_share(tables[space].loc[label]) for space in spaces)) for label in labels]
    return Table(("weights", *spaces.values()), texts, best=frozenset(best))


def _share(row: pd.Series) -> str:
    here = Interval(*(float(row[f"power{end}"]) for end in ("", "_low", "_high")))
    return f"{wording.percent(here.mean)}\n{wording.bounds(here, 100, 1)}"


def tokenizer(results: Results) -> Several:
    """How well words are found in text without spaces, and how far the network looks."""
    table = results.tokenizer
    alone = table[table["offset"].isna()].set_index("quantity")

    def said(quantity: str, scale: float = 1) -> str:
        row = alone.loc[[quantity]].iloc[0]
        here = Interval(*(float(row[f"value{end}"]) for end in ("", "_low", "_high")))
        return f"{scale * here.mean:.1f} ({wording.bounds(here, scale, 1)})"

    seeds = wording.counted(int(alone["seeds"].iloc[0]), "network")
    profile = table[table["quantity"] == "relevance"]
    reach = table[table["quantity"] == "reach"]["value"].mean()
    title = f"Either side, {reach:.1f} characters hold 90 % of the relevance"
    return Several(
        [
            Prose(
                f"{seeds}, {alone['texts'].iloc[0]} held-out texts of {table['dataset'].iloc[0]}: "
                f"boundary F1 {said('f1', 100)} %. {said('characters')} characters hold 90 % of "
                f"the relevance; {said('following', 100)} % of it lies behind the boundary."
            ),
            Picture(
                around_a_boundary(profile, title),
                "tokenizer",
                f"{title}. Bars: the share of absolute relevance of each character around a "
                "boundary between words.",
                "Mean share of the absolute relevance (LRP-ε), with 95 % intervals over seeds and "
                "texts. Character 1 is the first behind the boundary.",
            ),
        ]
    )


@style.styled
def around_a_boundary(profile: pd.DataFrame, title: str) -> Figure:
    """The share of relevance of each character, against its offset.

    Parameters
    ----------
    profile : columns offset, value, value_low, value_high.
    """
    figure = style.new_figure(2.2, title)
    axes = figure.subplots()
    offsets = profile["offset"] - (profile["offset"] > 0) * 0.5 + (profile["offset"] < 0) * 0.5
    axes.bar(offsets, profile["value"], width=0.85, color=style.BLUE)
    axes.vlines(
        offsets, profile["value_low"].clip(lower=0), profile["value_high"], color=style.GREY
    )
    axes.axvline(0, color=style.VERMILION, linewidth=0.8)
    shown = profile["offset"].abs().isin((1, 4, 8, 12, 16))
    axes.set_xticks(offsets[shown], [wording.number(offset) for offset in profile["offset"][shown]])
    axes.set_xlabel("character, counted from the boundary")
    axes.set_ylabel("share of relevance")
    style.percent_ticks(axes)
    return figure
