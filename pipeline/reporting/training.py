"""The report's sections on where the models come from: β-VAE, training, provenance."""

import platform
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from importlib import metadata

import matplotlib as mpl
import numpy as np
import pandas as pd
import yaml
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.claims import wording
from pipeline.claims.results import ExperimentResults, Results
from pipeline.core.dataset import Dataset
from pipeline.explanations.latents import ACTIVE_VARIANCE, active_units
from pipeline.models.conceptizers import VaeConceptizer
from pipeline.reporting import style
from pipeline.reporting.common import decoded, image_rows, per_experiment, pick, raw, section
from pipeline.reporting.display import Html, Part, Picture, Prose, Table

_PACKAGES = ("torch", "numpy", "pandas", "matplotlib", "scipy", "papermill", "nbconvert")


@section("No model of this run started from a pretrained β-VAE.")
def vae(results: Results) -> Iterator[Part]:
    """Reconstructions of the β-VAE, before and after DiSENN's training, and pretraining curves."""
    if not results.pretrained:
        return
    data = results.dataset(results.params.pretrain.dataset)
    disenns = {n: e for n, e in results.experiments.items() if e.is_disenn}
    first_seed = next(iter(disenns.values())).seeds[0]
    conceptizers: dict[str, VaeConceptizer] = {"pretrained": results.vae(first_seed)}
    for name, experiment in disenns.items():
        conceptizer = experiment.model.conceptizer
        assert isinstance(conceptizer, VaeConceptizer)
        conceptizers[name] = conceptizer
    yield Prose(_activity_sentence(conceptizers, data))
    if data.kind == "images":
        x = data.test.x[pick(data.test.y, 10)]
        rows = {"input": raw(x, data).numpy()} | {
            name.replace("_", "\n"): decoded(conceptizer(x).reconstruction, conceptizer)
            for name, conceptizer in conceptizers.items()
        }
        figure = image_rows(rows, "What the β-VAE preserves of its inputs")
        alt = (
            "Test images, one of each class, above their reconstructions by the pretrained β-VAE "
            "and by DiSENN’s conceptizer after training."
        )
        caption = (
            "What a reconstruction loses, no concept holds. 0 is white and 1 is black, as in the "
            "input."
        )
        yield Picture(figure, "reconstructions", alt, caption)
    figure = pretraining_curves(results.vae_curves, "Pretraining curves of the β-VAE")
    seeds = wording.counted(results.vae_curves["seed"].nunique(), "seed")
    alt = f"The β-VAE’s losses against epochs, {seeds}."
    caption = f"A line per seed ({seeds}). {still_learning(results.vae_curves)}"
    yield Picture(figure, "pretraining", alt, caption)


def still_learning(curves: pd.DataFrame) -> str:
    """Whether pretraining ended before the β-VAE had learned what it can, in a sentence.

    It still learns if over the last quarter of the epochs each seed's validation loss falls, on
    average by more than these falls scatter (one standard deviation); with one seed, by more than
    1 % of the loss.

    Parameters
    ----------
    curves : one row per seed and epoch: seed, epoch, valid_loss.
    """
    losses = curves.pivot(index="epoch", columns="seed", values="valid_loss")
    epochs = max(1, len(losses) // 4)
    if len(losses) <= epochs:
        return "One epoch does not show whether it still learns."
    falls = losses.iloc[-1 - epochs] - losses.iloc[-1]
    several = len(falls) > 1
    scatter = float(falls.std()) if several else 0.01 * float(losses.iloc[-1].mean())
    after, lately = int(losses.index[-1]), wording.counted(epochs, "epoch")
    fall = wording.minus(f"over the last {lately} its validation loss falls by {falls.mean():.2f}")
    beside = f"{scatter:.2f}, " + ("the spread between seeds" if several else "1 % of it")
    if falls.mean() > scatter:
        return f"After {after} epochs the β-VAE still learns: {fall}, more than {beside}."
    return f"After {after} epochs the β-VAE has levelled off: {fall}, no more than {beside}."


def _activity_sentence(conceptizers: dict[str, VaeConceptizer], data: Dataset) -> str:
    """How many latent variables depend on the input, for the models whose pictures follow."""
    active = {
        name: active_units(conceptizer.posterior(data.test.x))
        for name, conceptizer in conceptizers.items()
    }
    total = next(iter(conceptizers.values())).mean_head.out_features
    counts = wording.listed([f"{count} ({name})" for name, count in active.items()])
    text = (
        f"Of {total} latent variables, {counts} carry information about the input: the variance of "
        f"their mean over test images is above {ACTIVE_VARIANCE:g}."
    )
    if active["pretrained"] == 0:
        text += (
            " The pretrained β-VAE has collapsed to its prior: it reconstructs every input as the "
            "same image."
        )
    return text


@per_experiment()
def training(experiment: ExperimentResults) -> Iterator[Part]:
    """Training curves, a figure per experiment."""
    panels = {
        "valid_accuracy": "validation accuracy",
        "train_classification": "cross-entropy, training",
        "train_robustness": "robustness loss, training",
    }
    if experiment.settings.concept_reg > 0:
        panels["train_concept"] = "concept loss, training"
    alt = (
        f"Training curves of {experiment.name}: {'; '.join(panels.values())}; against steps, "
        "one line per λ and seed."
    )
    figure = training_curves(experiment.curves, panels, f"Training curves of {experiment.name}")
    cells = wording.counted(len(experiment.cells), "model")
    caption = (
        f"A line per model ({cells}), coloured by λ. Losses are means since the last validation."
    )
    yield Picture(figure, f"training_{experiment.name}", alt, caption)


def provenance(results: Results) -> Iterator[Part]:
    """Versions, devices, data and code: what determines the numbers above."""
    rows = []
    for name, experiment in results.everything.items():
        cells = experiment.metadata
        versions = (_distinct(cells, key) for key in ("torch", "device"))
        digests = (_distinct(cells, key, length=12) for key in ("data", "code"))
        rows.append((name, str(len(cells)), *versions, *digests))
    header = ("experiment", "models", "torch", "device", "data", "training code")
    yield Table(header, rows, kind="words")
    used = [f"Python {platform.python_version()}"]
    used += [f"{package} {metadata.version(package)}" for package in _PACKAGES]
    yield Prose(f"This page was made with {wording.listed(used)}.")
    # The weights say where they were computed; these parameters only say what was asked for.
    requests = {"device", "compute"}
    params = results.params.model_dump(mode="json", exclude=requests, exclude_none=True)
    text = yaml.safe_dump(params, sort_keys=False, allow_unicode=True, default_flow_style=None)
    summary = "All parameters (params.yaml)"
    html = f"<details><summary>{summary}</summary>\n<pre>{escape(text)}</pre></details>"
    yield Html(html, f"{summary}\n{text}")


def _distinct(cells: list[dict], key: str, length: int | None = None) -> str:
    """The values of `key` in the metadata of weights; one value if all were made alike."""
    return ", ".join(dict.fromkeys(str(cell.get(key, "unknown"))[:length] for cell in cells))


@style.styled
def training_curves(curves: pd.DataFrame, panels: Mapping[str, str], title: str) -> Figure:
    """One panel per quantity against training steps; a line per cell, coloured by λ.

    Parameters
    ----------
    curves : one row per validation: robust_reg, seed, step, and the columns of `panels`.
    panels : column → title. Columns that end in ``_accuracy`` are drawn in per cent, those that end
        in ``_robustness`` on a log axis.
    """
    figure, grid = _panels(list(panels.values()), (0.7, 1.7), title, "training steps", ticks=4)
    lambdas = sorted(curves["robust_reg"].unique())
    dark_to_light = mpl.colormaps["viridis"](np.linspace(0, 0.88, len(lambdas)))
    colours = dict(zip(lambdas, dark_to_light, strict=True))
    for axes, column in zip(grid, panels, strict=True):
        for (robust_reg, _), cell in curves.groupby(["robust_reg", "seed"]):
            axes.plot(cell["step"], cell[column], color=colours[robust_reg], linewidth=0.9)
        if column.endswith("_accuracy"):
            style.percent_ticks(axes.yaxis)
        elif column.endswith("_robustness") and (curves[column] > 0).all():
            axes.set_yscale("log")
    handles = [
        mpl.lines.Line2D([], [], color=colours[v], label=f"λ = {wording.lambda_label(v)}")
        for v in lambdas
    ]
    spacing = {"columnspacing": 1.0, "handlelength": 1.2}
    columns = min(len(lambdas), 5)
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, **spacing)
    return figure


@style.styled
def pretraining_curves(curves: pd.DataFrame, title: str) -> Figure:
    """The β-VAE's losses against epochs: a panel per loss, a line per seed.

    Parameters
    ----------
    curves : one row per epoch and seed: seed, epoch, and one column per loss.
    """
    losses = [str(column) for column in curves if column not in ("seed", "epoch")]
    names = [column.replace("_", " ") for column in losses]
    figure, grid = _panels(names, (0.6, 1.6), title, "epochs", ticks=5)
    for axes, column in zip(grid, losses, strict=True):
        for _, of_seed in curves.groupby("seed"):
            axes.plot(of_seed["epoch"], of_seed[column], color=style.BLUE, linewidth=1)
    return figure


def _panels(
    names: Sequence[str], heights: tuple[float, float], title: str, x_label: str, ticks: int
) -> tuple[Figure, list[Axes]]:
    """Two columns of titled panels, with the x axis labelled below the last of each column."""
    rows = -(-len(names) // 2)
    figure = style.new_figure(heights[0] + heights[1] * rows, title)
    grid = list(figure.subplots(rows, 2, squeeze=False, sharex=True).flat)
    for axes, name in zip(grid, names, strict=False):
        axes.set_title(name)
        axes.xaxis.set_major_locator(MaxNLocator(ticks, integer=True))
    for axes in grid[: len(names)][-2:]:
        axes.tick_params(labelbottom=True)
        axes.set_xlabel(x_label)
    for axes in grid[len(names) :]:
        axes.set_axis_off()
    return figure, grid[: len(names)]
