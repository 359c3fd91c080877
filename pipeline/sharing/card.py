"""The model that comes with the repository, and its card.

The card says what it is, how to use it, how good it is, what it is not for: in Markdown, after
Mitchell et al. 2019, *Model cards for model reporting*. Every number is read from the model's file
or from the tables of stage `evaluate`.
"""

import shlex
import textwrap
from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.claims.wording import MISSING, counted, significant
from pipeline.claims.wording import share as percentage
from pipeline.core.cells import Cell, rows_at
from pipeline.core.dataset import Dataset, load_dataset
from pipeline.core.errors import PipelineError
from pipeline.core.files import File, all_or_nothing, read_table, write_bytes
from pipeline.core.run import Run
from pipeline.data.texts import RESERVED, UNKNOWN
from pipeline.metrics.intervals import Interval, accuracy_interval, interval
from pipeline.sharing.files import Shared, share

METRICS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "cross_entropy": "cross-entropy, nats",
    "lipschitz_local": "local Lipschitz ratio, lower is more stable",
    "robustness_loss": "robustness loss, exact",
    "faithfulness_relevance": "faithfulness of relevances, 1 is best",
    "faithfulness_contribution": "faithfulness of contributions, 1 is best",
    "reconstruction_mse": "reconstruction error",
}
_NAMES = {
    "SENN": "self-explaining neural network (SENN)",
    "DiSENN": "self-explaining neural network whose concepts are the latent variables of a β-VAE "
    "(DiSENN)",
}
_EXCERPT = 50  # characters
_SHOWN = ("dataset", "model_class", "num_concepts", "num_classes")  # elsewhere on the card


def release(run: Run, name: str, cells: Path, folder: Path) -> Path:
    """Write ``<name>.safetensors`` and its card ``<name>.md`` into `folder`; returns the former.

    It is the headline λ's model of the first seed, which is the one that the report explains.

    Parameters
    ----------
    cells : the table of stage `evaluate`.

    Raises
    ------
    PipelineError
        If a file is missing or damaged, or they do not belong together.
    """
    cell = Cell(name, run.params.robust_reg, run.params.seeds_of(name)[0])
    data = run.data_of(name)
    file = folder / f"{name}.safetensors"
    with all_or_nothing(folder):
        shared = share(cell.path(run.models_of(name)), data, file)
        text = card(shared, file, load_dataset(data), _headline(cells, cell))
        write_bytes(file.with_suffix(".md"), text.encode())
    return file


def _headline(path: Path, cell: Cell) -> pd.DataFrame:
    """The rows of cells with the λ of `cell`, which must be among them."""
    table = rows_at(read_table(path), cell.robust_reg)
    rows = table[table["experiment"] == cell.experiment]
    if cell.seed not in set(rows["seed"]):
        raise PipelineError(
            f"{path}: no row for {cell}, which params.yaml asks for. Run `dvc repro`."
        )
    return rows


def card(shared: Shared, file: Path, data: Dataset, cells: pd.DataFrame) -> str:
    """The card of the model that was written to `file`.

    Parameters
    ----------
    data : the dataset that it was trained on.
    cells : rows of reports/cells: the models of its λ, one a seed.
    """
    about, chosen = shared.about, shared.about["params"]["experiment"]
    name = about["experiment"]
    own = cells[cells["seed"] == about["seed"]].iloc[0]
    first = f"Of {len(cells)} seeds it is the first, not the best."
    which = "It is the only seed." if len(cells) == 1 else first
    return "\n".join(
        (
            f"# {name}",
            "",
            f"A {_NAMES[chosen['model_class']]} for the dataset `{chosen['dataset']}`, trained "
            f"with λ = {about['robust_reg']:g} and seed {about['seed']}. "
            f"{which} It is the one that the [report](../../report.html) explains.",
            "",
            *([f"> **{shared.facts.caveat}**", ""] if shared.facts.caveat else []),
            f"File: [`{file.name}`]({file.name}), {file.stat().st_size / 1000:,.0f} KB, SHA-256 "
            f"`{File(file).digest()}`",
            "",
            "## Use",
            "",
            *_use(shared, data),
            "",
            "## What it does",
            "",
            *_what(shared),
            "",
            "## Data",
            "",
            f"`{chosen['dataset']}`: {len(data.train):,} training, {len(data.valid):,} validation "
            f"and {len(data.test):,} test examples. [Data](../../../docs/data.md) says where they "
            "come from and under which terms.",
            "",
            "## Results",
            "",
            "On the test set; over seeds, the mean and its 95 % interval "
            "([Intervals](../../../docs/intervals.md)). [Metrics]"
            "(../../../docs/metrics.md) says what each means.",
            "",
            f"| metric | this model | {counted(len(cells), 'seed')} |",
            "| --- | --- | --- |",
            *(_row(key, label, own, cells) for key, label in METRICS.items() if cells[key].any()),
            "",
            "## Limits",
            "",
            *_limits(shared, data, own, cells),
            "",
            "## How it was trained",
            "",
            "| parameter | value |",
            "| --- | --- |",
            *_params(about),
            "",
            f"Weights of step {about['step']}. Data, SHA-256 `{about['data'][:12]}…`; code, "
            f"`{about['code'][:12]}…`; torch {about['torch']}, {about['device']}. The file's "
            "metadata have all of it.",
            "",
        )
    )


def _use(shared: Shared, data: Dataset) -> Iterable[str]:
    name, facts = shared.about["experiment"], shared.facts
    if shared.kind == "tables":
        feature, most = facts.feature_names[0], facts.scales[0].value(facts.feature_range[0][1])
        given = f"--set {shlex.quote(f'{feature}={most:g}')}"
        call = f'{{"{feature}": {most:g}}}'
    elif shared.kind == "texts":
        call = f'"{_excerpt(data)}"'
        given = f"--text {call}"
    else:
        given, call = "image.png", '"image.png"'
    yield from ("```sh", f"python -m pipeline.explain {name} {given}", "```", "", "```python")
    yield from ("from pipeline.explain import load", "")
    yield from (f'print(load("{name}").explain({call}))', "```", "")
    yield "[Trained models](../../../docs/models.md) has more."


def _excerpt(data: Dataset) -> str:
    """From the longest passage of the first test text in which the model knows every word."""
    assert data.test.words is not None
    words = groupby(data.test.words[0].tolist(), lambda place: place > UNKNOWN)
    passages = [list(places) for is_known, places in words if is_known]
    passage = " ".join(data.vocabulary[place] for place in max(passages, key=len))
    return textwrap.wrap(passage, _EXCERPT)[0]


def _what(shared: Shared) -> Iterable[str]:
    about, facts = shared.about, shared.facts
    chosen = about["params"]["experiment"]
    shape = " × ".join(map(str, shared.input_shape))
    input_ = {
        "tables": f"a row of {shape} features",
        "texts": f"a text of up to {shared.input_shape[0]} words",
        "images": f"an image of {shape}",
    }[shared.kind]
    weights = sum(parameter.numel() for parameter in shared.senn.parameters())
    yield (
        f"It maps {input_} to {chosen['num_concepts']} concepts h(x) "
        f"(conceptizer `{chosen['conceptizer']['name']}`) and to a relevance θ(x) of each for "
        f"every class (parameterizer `{chosen['parameterizer']['name']}`), {weights:,} weights in "
        "all. The sum of relevance × concept is the logit of a class."
    )
    yield ""
    yield f"Classes: {', '.join(facts.class_names)}."
    if facts.vocabulary:
        yield ""
        yield (
            f"Vocabulary: {len(facts.vocabulary) - len(RESERVED):,} words, each with an embedding "
            f"of {shared.input_shape[1]} numbers, which was computed from the training texts and "
            "then fixed. All other words share one."
        )
    if facts.feature_names:
        names = zip(facts.feature_names, facts.plain_names, strict=True)
        yield ""
        texts = [f"`{key}`" + f" ({plain})" * (key != plain) for key, plain in names]
        yield f"Features: {', '.join(texts)}."


def _row(key: str, label: str, own: pd.Series, cells: pd.DataFrame) -> str:
    """A metric of this model, and its mean over seeds with an interval."""
    if key == "accuracy":
        both = Interval.of(own, "accuracy"), accuracy_interval(cells)
        texts = [percentage(here) for here in both]
    else:
        texts = [
            MISSING if pd.isna(own[key]) else significant(own[key]),
            _mean(cells[key].dropna()),
        ]
    return f"| {label} | {' | '.join(texts)} |"


def _mean(of_seeds: pd.Series) -> str:
    """The mean over seeds with its interval, of those where the metric is defined."""
    if of_seeds.empty:
        return MISSING
    here = interval(of_seeds.tolist())
    low, high = map(significant, (here.low, here.high))
    return significant(here.mean) + (f" ({low} to {high})" if len(of_seeds) > 1 else "")


def _limits(shared: Shared, data: Dataset, own: pd.Series, cells: pd.DataFrame) -> Iterable[str]:
    facts = shared.facts
    yield (
        "* It is for studying explanations, and for using the report's models without training. "
        "It is not for decisions of any consequence."
    )
    wrong = round((1 - own["accuracy"]) * len(data.test))
    yield f"* It is wrong about {wrong} of {len(data.test):,} test examples."
    if own["collapsed"]:
        yield "* Its training collapsed: it predicts hardly better than a constant."
    faithfulness = cells["faithfulness_relevance"].dropna()
    if len(faithfulness) > 1 and interval(faithfulness.tolist()).low <= 0:
        yield (
            "* Its relevances do not say on which concepts a prediction depends: the interval of "
            "their faithfulness is not above 0."
        )
    if shared.kind == "texts":
        yield (
            "* It reads the letters a to z, whatever their case; everything else only separates "
            f"words. What follows the first {shared.input_shape[0]} words it does not read; it is "
            "said if a text is longer, and which of its words are unknown."
        )
        return
    if facts.feature_names:
        absent = [
            plain
            for plain, (low, high) in zip(facts.plain_names, facts.feature_range, strict=True)
            if low == high
        ]
        if absent:
            yield f"* It knows nothing of what never varied in training: {', '.join(absent)}."
    elif facts.ground is not None:
        yield (
            "* It knows single figures on a plain ground, centred. Other images are converted, and "
            "it is said how."
        )
    yield (
        "* Inputs whose values or concepts are out of their range in training get a warning. No "
        "warning does not mean that an input is like the training data."
    )


def _params(about: Mapping[str, Any]) -> Iterable[str]:
    params = about["params"]
    settings = {k: v for k, v in params["experiment"].items() if k not in _SHOWN and v is not None}
    if params["vae"] is not None:
        settings["vae"] = params["vae"]
    settings |= {"robust_reg": about["robust_reg"], "robustness": params.get("robustness")}
    for key, value in settings.items():
        yield f"| `{key}` | {_value(value)} |"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_value(item)}" for key, item in value.items())
    if isinstance(value, list):
        return " ".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
