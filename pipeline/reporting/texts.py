"""The report's sections on texts: coloured words, explanatory power, and the tokenizer."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from pipeline.claims import wording
from pipeline.claims.results import Results
from pipeline.core.dataset import is_word
from pipeline.explanations.methods import METHODS
from pipeline.metrics.intervals import Interval
from pipeline.metrics.word_power import (
    COMPARED,
    NO_MODEL,
    label_of,
    places_in,
    word_relevance,
)
from pipeline.reporting import style
from pipeline.reporting.common import metric_table, over_seeds, pick, section
from pipeline.reporting.display import Html, Part, Picture, Prose
from pipeline.reporting.examples import Example, explained

DOCUMENTS, OWN = 5, "contribution"
_COLUMNS = {
    "accuracy": "accuracy, %",
    "cross_entropy": "cross-entropy",
    "robustness_loss": "robustness loss",
    "lipschitz_input_lower": "Lipschitz, input",
    "faithfulness_relevance": "faithfulness",
    "selection_gain": "gain by selection, points",
}
_SPACES = {"embedding": "embeddings", "one_hot": "one-hot vectors"}


@section("This run has no texts.")
def accuracy(results: Results) -> Iterator[Part]:
    """Accuracy and stability by λ, beside a linear classifier."""
    for name, experiment in results.texts.items():
        data, linear = experiment.data, experiment.linear
        beside = ""
        if linear is not None:
            beside = (
                f" A linear classifier of the same words gets {wording.percent(linear.mean)} of "
                f"the test texts right ({wording.bounds(linear, 100, 1)})."
            )
        yield Prose(
            f"`{name}` reads the first {data.input_shape[0]} words of a text, and knows "
            f"{len(data.vocabulary) - 2:,} words.{beside}"
        )
        yield metric_table(experiment, _COLUMNS)
        yield over_seeds(experiment)


@section("This run has no texts.")
def documents(results: Results) -> Iterator[Part]:
    """The first test documents of different topics, by SENN and by other methods."""
    for experiment in results.texts.values():
        data, model = experiment.data, experiment.model
        chosen = pick(data.test.y, DOCUMENTS)
        x, places = data.test.x[chosen], places_in(data.test)[chosen]
        words_in = is_word(x)
        classes = model(x).logits.topk(2, dim=1).indices  # the predicted one, the runner-up
        by_method = {
            name: torch.stack([word_relevance(name, model, data, x, c) for c in classes.T], 1)
            for name in (OWN, *(name for name in COMPARED if name != OWN))
        }
        for index, example in enumerate(explained(model, data, chosen)):
            there = words_in[index]
            words = [data.vocabulary[place] for place in places[index, there].tolist()]
            values = {name: of[index][:, there].numpy() for name, of in by_method.items()}
            yield document(index + 1, words, example, values)


def document(
    number: int, words: Sequence[str], example: Example, values: Mapping[str, np.ndarray]
) -> Html:
    """A document with coloured words, by SENN, and folded away by other methods.

    Parameters
    ----------
    values : per method, SENN's contributions first, (2, words): for the predicted class, and for
        the runner-up.
    """
    about = (
        f"Document {number}: predicted {example.prediction}, "
        f"{wording.probability(example.probability)}; true class {example.truth}."
    )
    classes = f"for {example.prediction}", f"for {example.contrast}, the runner-up"
    rows = {
        name: [
            f"<p><small>{escape(f'{METHODS[name].label}, {label}')}</small><br>"
            f"{style.coloured_words(words, of_class, style.common_limit(of_method))}</p>"
            for label, of_class in zip(classes, of_method, strict=True)
        ]
        for name, of_method in values.items()
    }
    own, *others = rows.values()
    html = "\n".join(
        [
            f'<div class="document"><p><b>{escape(about)}</b></p>',
            *own,
            f"<details><summary>The same by {len(others)} other methods</summary>",
            *chain(*others),
            "</details></div>",
        ]
    )
    strongest = words[int(abs(values[OWN][0]).argmax())]
    return Html(html, f"{about} The word that counts most is “{strongest}”.")


@section("This run measures no explanatory power on texts.")
def power(results: Results) -> Iterator[Part]:
    """The explanatory power index of every kind of word weights."""
    for name, experiment in results.texts.items():
        table = experiment.power
        if table.empty:
            continue
        documents, seeds = (int(table[column].iloc[0]) for column in ("documents", "seeds"))
        title = f"Explanatory power on {experiment.settings.dataset}"
        values = "; ".join(
            f"{row['label']}, {_SPACES[row['vectors']]}: {wording.percent(row['power'])}"
            for row in table.to_dict("records")
        )
        caption = (
            f"Accuracy of the nearest neighbours of {documents} test documents, with 95 % "
            f"intervals over documents and {wording.counted(seeds, 'seed')}. Grey: weights that "
            "know no model."
        )
        yield Picture(power_figure(table, title), f"power_{name}", values, caption)


@style.styled
def power_figure(table: pd.DataFrame, title: str) -> Figure:
    """A row a kind of weights, the best on top, and a panel a kind of document vectors.

    Parameters
    ----------
    table : of one experiment, as stage `explain` writes it.
    """
    order = table[table["vectors"] == "embedding"].sort_values("power", ascending=False)
    names = order["weights"].tolist()
    figure = style.new_figure(0.95 + 0.19 * len(names), title)
    panels = figure.subplots(1, len(_SPACES), sharey=True)
    for axes, (space, about) in zip(panels, _SPACES.items(), strict=True):
        rows = table[table["vectors"] == space].set_index("weights").loc[names]
        for place, (weights, row) in enumerate(rows.iterrows()):
            colour = style.GREY if weights in NO_MODEL else style.BLUE
            ends = [100 * row["power_low"], 100 * row["power_high"]]
            axes.plot(ends, [place, place], color=colour, alpha=0.4, linewidth=2)
            axes.plot(100 * row["power"], place, "o", color=colour)
        axes.set_title(about)
        axes.set_xlabel("accuracy, %")
        axes.grid(axis="x", color=style.FAINT, linewidth=0.5)
    style.name_rows(panels[0], [label_of(name) for name in names], size=7.5)
    panels[0].set_ylim(len(names) - 0.5, -0.5)
    return figure


@section("This run trains no tokenizer.")
def tokenizer(results: Results) -> Iterator[Part]:
    """How well word boundaries are put back, and which characters say so."""
    table = results.tokenizer
    if table.empty:
        return
    rows = table[table["offset"].isna()].to_dict("records")
    single = {row["quantity"]: row for row in rows}
    f1, characters, reach, following = (
        single[name] for name in ("f1", "characters", "reach", "following")
    )
    seeds, texts = int(f1["seeds"]), int(f1["texts"])
    yield Prose(
        f"The network puts the boundaries of {texts} held-out texts back with an F1 of "
        f"{_with_interval(f1, 3)} ({wording.counted(seeds, 'seed')}). "
        f"{_with_interval(characters, 1)} characters hold 90 % of the relevance for a boundary, "
        f"and so do {_with_interval(reach, 1)} characters on either side of it. Those behind the "
        f"boundary hold {wording.percent(following['value'], 0)}."
    )
    yield Picture(
        tokenizer_figure(table[table["quantity"] == "relevance"]),
        "tokenizer",
        "Share of the relevance for a boundary, by place of the character: largest beside the "
        "boundary, and soon small.",
        "LRP-ε, mean over held-out texts, one boundary each, and seeds; lines are 95 % intervals. "
        "The dashed line is the boundary.",
    )


@style.styled
def tokenizer_figure(shares: pd.DataFrame) -> Figure:
    """The share of the relevance that each character around a boundary has.

    Parameters
    ----------
    shares : a row a character, with its `offset` from the boundary.
    """
    figure = style.new_figure(2.1, "Which characters say that a word ends")
    axes = figure.subplots()
    offsets = shares["offset"].to_numpy(int)
    places = np.where(offsets > 0, offsets - 1, offsets)  # there is no 0
    value, low, high = (
        100 * shares[name].to_numpy() for name in ("value", "value_low", "value_high")
    )
    axes.bar(places, value, width=0.8, color=style.LIGHT_BLUE)
    axes.vlines(places, low, high, color=style.BLUE, linewidth=1)
    axes.axvline(-0.5, color=style.GREY, linestyle="--", linewidth=0.8)
    chosen = [
        place for place, offset in zip(places, offsets, strict=True) if abs(offset) in (5, 10, 15)
    ]
    axes.set_xticks(chosen, [wording.minus(f"{place + (place >= 0):+d}") for place in chosen])
    axes.set_xlabel("character before (−) or behind (+) the boundary")
    axes.set_ylabel("share of relevance, %")
    return figure


def _with_interval(row: Mapping[Any, Any], decimals: int) -> str:
    here = Interval.of(row, "value")
    return wording.with_bounds(f"{here.mean:.{decimals}f}", here, decimals=decimals)
