"""Tokenizers trained and measured, one a seed."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pipeline.core.errors import PipelineError
from pipeline.core.params import Compute
from pipeline.core.params import Tokenizer as Settings
from pipeline.core.workers import Report
from pipeline.explanations.relprop.composites import EPSILON, lrp, relevance_of_logit
from pipeline.explanations.relprop.rules import Epsilon
from pipeline.metrics.intervals import Statistic, estimate
from pipeline.metrics.measurement import with_progress
from pipeline.tokenizer.characters import Unspaced, Words, around, encoded, unspaced, windows
from pipeline.tokenizer.context import characters_holding, reach_holding
from pipeline.tokenizer.model import Tokenizer
from pipeline.tokenizer.training import train

LONGEST = 600  # characters of a held-out text that are read

# A constant, not a parameter: other boundaries would be another yardstick.
_BOUNDARY_SEED = 0
_BATCH = 100
_CPU = torch.device("cpu")  # the network is too small for a GPU


class Measured(NamedTuple):
    """What one tokenizer got on N held-out texts.

    Attributes
    ----------
    f1 : (N,), of the boundaries of each text.
    relevance : (N, T), LRP-ε of the characters around one boundary of each text, the gap in the
        middle; NaN where no boundary has T / 2 characters on both sides.
    """

    f1: np.ndarray
    relevance: np.ndarray


def boundary_f1(logits: Tensor, ends: Tensor) -> float:
    """2TP / (2TP + FP + FN) of the ends of words in a text but its own, which needs no telling.

    Parameters
    ----------
    logits : (T,), above 0 where a word is said to end.
    ends : (T,), bool.

    Returns
    -------
    NaN, undefined, if no word ends before the text, and none is said to.
    """
    told, true = logits[:-1] > 0, ends[:-1]
    both, count = int((told & true).sum()), int(told.sum() + true.sum())
    return 2 * both / count if count else float("nan")


def run_tokenizer(
    settings: Settings, training: Sequence[Words], held_out: Sequence[Words], compute: Compute
) -> list[Measured]:
    """Train and measure a tokenizer for every seed.

    Parameters
    ----------
    training, held_out : texts, word by word; the first `documents` and `examples` are used.

    Raises
    ------
    PipelineError
        If a text has a character that is neither a letter nor a space, or the texts have fewer
        pieces than a batch.
    """
    pieces = windows(map(unspaced, training[: settings.documents]), settings.characters)
    if len(pieces.ends) < settings.batch_size:
        raise PipelineError(
            f"params.yaml: tokenizer.batch_size: must be ≤ {len(pieces.ends)}, the pieces of "
            f"{settings.characters} characters in {settings.documents} documents, got "
            f"{settings.batch_size}"
        )
    read = map(unspaced, held_out[: settings.examples])
    texts = [Unspaced(*(part[:LONGEST] for part in text)) for text in read]
    work = partial(_measure, settings, pieces, texts)
    measured: dict[int, Measured] = {}
    for index, one in with_progress("tokenizer", work, settings.seeds, _CPU, compute):
        f1 = np.nanmean(one.f1)
        print(f"tokenizer seed={settings.seeds[index]}: boundary F1 {f1:.3f}", flush=True)
        measured[index] = one
    return [measured[index] for index in range(len(settings.seeds))]


def _measure(
    settings: Settings, pieces: Unspaced, texts: list[Unspaced], seed: int, report: Report
) -> Measured:
    """Train and measure one; runs in a worker."""
    model = train(pieces, settings, seed)
    f1 = []
    for first in range(0, len(texts), _BATCH):
        batch = texts[first : first + _BATCH]
        logits = model(encoded([text.characters for text in batch]))
        for of_text, text in zip(logits, batch, strict=True):
            f1.append(boundary_f1(of_text[: len(text.ends)], text.ends))
    return Measured(np.array(f1), _relevance(model, texts, settings.characters))


def _relevance(model: Tokenizer, texts: list[Unspaced], size: int) -> np.ndarray:
    generator = torch.Generator().manual_seed(_BOUNDARY_SEED)
    relevance = np.full((len(texts), size), np.nan)
    rows, pieces = [], []
    for row, text in enumerate(texts):
        places = text.ends.nonzero().flatten()
        for place in places[torch.randperm(len(places), generator=generator)].tolist():
            piece = around(text, place, size)
            if piece is not None:
                rows.append(row)
                pieces.append(piece)
                break
    if pieces:
        method = relevance_of_logit(lrp(Epsilon(EPSILON)))
        target = torch.full((len(pieces),), size // 2 - 1)
        relevance[rows] = method(model.as_layers(), encoded(pieces), target).sum(2).numpy()
    return relevance


def tokenizer_table(measured: Sequence[Measured], resamples: int) -> pd.DataFrame:
    """One row a quantity, with its 95 % interval over seeds and held-out texts.

    ``f1``; ``characters`` and ``reach``, the counts of `context`; ``following``, the
    share of Σ|R| behind the boundary; and ``relevance``, the share of each character. Its `offset`
    is 1 for the first behind the boundary, -1 for the last before it, and empty elsewhere.

    Parameters
    ----------
    measured : one a seed.
    resamples : of the bootstrap.
    """
    relevance = torch.from_numpy(np.stack([one.relevance for one in measured]))  # (S, N, T)
    weights = relevance.abs()
    shares = weights / weights.sum(2, keepdim=True)
    half = shares.shape[2] // 2
    quantities: list[tuple[str, int | None, Tensor, Statistic]] = [
        ("f1", None, torch.from_numpy(np.stack([one.f1 for one in measured])), "mean"),
        ("characters", None, _each(characters_holding, relevance), "mean"),
        ("reach", None, _each(reach_holding, relevance), "mean"),
        ("following", None, shares[:, :, half:].sum(2), "mean"),
        *(
            ("relevance", place - half + (place >= half), shares[:, :, place], "mean")
            for place in range(2 * half)
        ),
    ]
    rows = []
    for quantity, offset, values, statistic in quantities:
        here, undefined = estimate(values.numpy(), statistic, resamples)
        rows.append(
            {
                "quantity": quantity,
                "offset": offset,
                **here.columns("value"),
                "undefined": undefined,
                "seeds": len(values),
                "texts": values.shape[1],
            }
        )
    return pd.DataFrame(rows).astype({"offset": "Int64"})


def _each(count: Callable[[Tensor], Tensor], relevance: Tensor) -> Tensor:
    """`count` of each row of (S, N, T), (S, N); NaN where there is no relevance."""
    counted = count(relevance.flatten(0, 1)).view(relevance.shape[:2]).double()
    return torch.where(counted > 0, counted, torch.nan)
