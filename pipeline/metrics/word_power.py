"""The explanatory power index of explanation methods, on texts (`power_of_halves`).

A word's relevance for the predicted class is the sum over the numbers of its embedding. Beside the
methods stand two weights that know no model: ``uniform``, 1 for every word, and ``tf_idf``.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pipeline.core.cells import Cell
from pipeline.core.dataset import Dataset, Split, is_word
from pipeline.core.files import File
from pipeline.core.params import Power
from pipeline.core.run import Run
from pipeline.explanations.method import Background
from pipeline.explanations.methods import METHODS
from pipeline.metrics.batches import in_batches, predict
from pipeline.metrics.informativeness import (
    embedded_documents,
    idf,
    one_hot_documents,
    power_of_halves,
)
from pipeline.metrics.intervals import estimate
from pipeline.metrics.measurement import (
    EXPLAINING,
    Measurement,
    Subject,
    by_experiment,
    dataset_on,
    drawn,
    each,
)
from pipeline.models.layers import placed
from pipeline.models.senn import Senn
from pipeline.models.weights import load_cell

COMPARED = (
    "contribution",
    "squared_sensitivity",
    "gradient_times_input",
    "integrated_gradients",
    "lrp_0",
    "lrp_epsilon",
    "occlusion",
)
REFERENCE = "lrp_epsilon"  # whose lead over every other row is in the table
NO_MODEL = {"uniform": "uniform weights", "tf_idf": "tf-idf"}
SPACES = ("embedding", "one_hot")
_CPU = torch.device("cpu")


WordPower = dict[str, list[float]]
"""`power_of_halves` of one kind of weights: in each of `SPACES`, (N,)."""


def word_power(run: Run) -> Measurement[dict[str, dict[str, list[WordPower]]]]:
    """The measurement of the power of every kind of weights, on the headline models.

    It gathers, by experiment of ``power.experiments``, per kind of weights, the power of each seed.
    """
    params, settings = run.params, run.params.power
    cells = [
        Cell(name, params.robust_reg, seed)
        for name in settings.experiments
        for seed in params.seeds_of(name)[: settings.seeds]
    ]
    # The longest first: a method that removes words or follows them through the network.
    kinds = (*reversed(COMPARED), *NO_MODEL)
    pairs = [(cell, weights) for cell in cells for weights in kinds]

    def line(index: int, power: WordPower) -> str:
        cell, weights = pairs[index]
        return f"{cell}: {weights}, explanatory power {np.mean(power['embedding']):.3f}"

    protocol = settings.model_dump(mode="json", exclude={"experiments", "seeds"})
    subjects = [
        Subject.of(run, cell, {"power of": weights, **protocol}, weights) for cell, weights in pairs
    ]

    order = dict.fromkeys(settings.experiments, (*COMPARED, *NO_MODEL))
    gather = partial(by_experiment, pairs, order)
    work = each(partial(_measure, settings, run.device))
    return Measurement("power", work, EXPLAINING, subjects, gather, line=line)


def power_table(
    measured: Mapping[str, Mapping[str, Sequence[WordPower]]], resamples: int
) -> pd.DataFrame:
    """One row an experiment, space and kind of weights: its index, and how far it is behind LRP-ε.

    With 95 % intervals over seeds and documents; ``behind`` is of the differences, document by
    document.

    Parameters
    ----------
    measured : from `word_power`.
    resamples : of the bootstrap.
    """
    rows = []
    for experiment, of_weights in measured.items():
        for space in SPACES:
            values = {
                weights: np.array([of_seed[space] for of_seed in of_seeds])
                for weights, of_seeds in of_weights.items()
            }
            for weights, here in values.items():
                power, _ = estimate(here, "mean", resamples)
                behind, _ = estimate(values[REFERENCE] - here, "mean", resamples)
                row = {
                    "experiment": experiment,
                    "vectors": space,
                    "weights": weights,
                    "label": label_of(weights),
                    **power.within(0, 1).columns("power"),
                    **behind.columns("behind"),
                    "seeds": len(here),
                    "documents": here.shape[1],
                }
                rows.append(row)
    return pd.DataFrame(rows or {"experiment": [], "vectors": [], "weights": []})


def label_of(weights: str) -> str:
    """The name of a kind of weights in tables and figures."""
    return NO_MODEL.get(weights) or METHODS[weights].label


def word_relevance(name: str, model: Senn, data: Dataset, x: Tensor, target: Tensor) -> Tensor:
    """What method `name` says of each word of texts x (N, T, D) for classes `target` (N,): (N, T).

    A text's words are its concepts, so methods that speak of concepts speak of words, too.
    """
    explain = METHODS[name].build(Background.of(data))
    return in_batches(lambda x, target: per_word(explain(model, x, target)), x, target)


def per_word(attributions: Tensor) -> Tensor:
    """Attributions (B, T, D) of embeddings, or (B, T) of words: of words, (B, T)."""
    return attributions.sum(2) if attributions.ndim > 2 else attributions


def word_weights(name: str, data: Dataset, texts: Split) -> Tensor:
    """The weight of every word of N texts by one of `NO_MODEL`, (N, T), float64; 0 for none.

    Parameters
    ----------
    data : whose training documents tell how rare a word is.
    texts : of its vocabulary.
    """
    present, in_training = (is_word(split.x) for split in (texts, data.train))
    if name == "uniform":
        return present.double()
    rarity = idf(places_in(data.train), in_training, len(data.vocabulary))
    return rarity[places_in(texts)] * present


def _measure(
    settings: Power, device: torch.device, cell: File, data_file: File, weights: str
) -> WordPower:
    """Measure one kind of weights on one model; runs in a worker."""
    data = dataset_on(data_file, _CPU)
    chosen = drawn(data.test, settings.documents)
    x, y, words = data.test.x[chosen], data.test.y[chosen], places_in(data.test)[chosen]
    if weights in NO_MODEL:
        values = word_weights(weights, data, Split(x, y, words))
    else:
        model, there = placed(load_cell(cell)[0], device), x.to(device)
        target = predict(model, there)
        values = word_relevance(weights, model, data.to(device), there, target).cpu()
    documents = embedded_documents(x, values), one_hot_documents(words, values)
    return {
        space: power_of_halves(vectors, y, settings.neighbours, settings.halves).tolist()
        for space, vectors in zip(SPACES, documents, strict=True)
    }


def places_in(split: Split) -> Tensor:
    """Where the words of texts are in the vocabulary, (N, T), int64."""
    assert split.words is not None, "of texts"
    return split.words.long()
