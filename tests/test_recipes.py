"""The recipes of the README, section "Extend it", followed to the letter in a copy of the code.

Each is one new file and one registration; then params.yaml has an experiment with all of them, and
the stages run one after the other.
"""

import filecmp
import hashlib
import json
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import yaml

from tests.conftest import REPOSITORY
from tests.processes import run_stage


class Recipe(NamedTuple):
    """A new `file` with `content`, and a `registration` right after the line `after` in `place`."""

    file: str
    content: str
    place: str
    after: str
    registration: str
    imports: str = ""


TRAIN, VALID, TEST = 60, 20, 40
RAW = "x1,x2,x3,x4,y\n" + "".join(
    f"{a:.4f},{b:.4f},{c:.4f},{d:.4f},{int(a + b > 1) + int(c > 0.8)}\n"
    for a, b, c, d in np.random.default_rng(0).random((TRAIN + VALID + TEST, 4))
)

DATASET = Recipe(
    "pipeline/data/corners.py",
    f'''
import numpy as np
import pandas as pd
import torch

from pipeline.core.dataset import Prepared, Split
from pipeline.data.sources import RawFile
from pipeline.data.splits import stratified_split


def files():
    return (RawFile("corners.csv", "{hashlib.sha256(RAW.encode()).hexdigest()}"),)


def prepare(raw, split_seed):
    table = pd.read_csv(raw / "corners.csv")
    x = torch.from_numpy(table.drop(columns="y").to_numpy(np.float32))
    y = torch.from_numpy(table["y"].to_numpy(np.int64))
    parts = stratified_split(table["y"].to_numpy(), {TEST}, {VALID}, split_seed)
    splits = (Split(x[rows], y[rows]) for rows in parts)
    return Prepared("corners", *splits, ("x1", "x2", "x3", "x4"), ("none", "one", "two"))
''',
    "pipeline/core/params_choices.py",
    "DATASETS = {",
    f'    "corners": DatasetFacts("pipeline.data.corners", (4,), classes=3, train={TRAIN}),',
)
VARIANT = Recipe(
    "pipeline/training/squashed.py",
    '''
import torch


def of_squashed_logits(h, theta, logits, d):
    """Of tanh f, whose derivative is the slope 1 - tanh² f."""
    slope = 1 - torch.tanh(logits).square()
    on_h = (theta * ((slope - 1) * d).unsqueeze(-2)).sum(-1)
    return h.unsqueeze(-1) * (slope * d).unsqueeze(-2), on_h
''',
    "pipeline/core/params_choices.py",
    "VARIANTS = {",
    '    "squashed": "pipeline.training.squashed:of_squashed_logits",',
)
CONCEPTIZER = Recipe(
    "pipeline/models/projections.py",
    """
import math

from torch import nn

from pipeline.models import standard
from pipeline.models.conceptizers import Conceptizer
from pipeline.models.layers import Linear


class ProjectionConceptizer(Conceptizer):
    def __init__(self, input_shape, num_concepts, hidden_size):
        super().__init__()
        self.input_shape = input_shape
        features = math.prod(input_shape)
        layers = [Linear(features, hidden_size), Linear(hidden_size, num_concepts)]
        self.encoder = nn.ModuleList(layers)
        self.decoder = Linear(num_concepts, features)

    def encode(self, x):
        first, second = self.encoder
        return second(first(x.flatten(-len(self.input_shape))).relu())

    def decode(self, concepts):
        return self.decoder(concepts).unflatten(-1, self.input_shape)

    def as_layers(self):
        return [nn.Flatten(), *standard.perceptron(self.encoder)]
""",
    "pipeline/core/params_choices.py",
    '    section = "conceptizer"\n\n',
    '''
class ProjectionConceptizer(Conceptizer):
    """A perceptron of one hidden layer."""

    name: Literal["projection"]
    hidden_size: kind.Count
    built_by = "pipeline.models.projections:ProjectionConceptizer"

''',
)
PARAMETERIZER = Recipe(
    "pipeline/models/linear_relevances.py",
    """
import math

from torch import nn

from pipeline.models import standard
from pipeline.models.layers import Linear
from pipeline.models.parameterizers import Parameterizer


class SquashedLinear(Parameterizer):
    def __init__(self, input_shape, num_concepts, num_classes, dropout, bound):
        super().__init__(num_concepts, num_classes, dropout, [(num_concepts * num_classes,)])
        self.input_shape, self.bound = input_shape, bound
        self.linear = Linear(math.prod(input_shape), num_concepts * num_classes)

    def forward(self, x, masks=None):
        theta = self.linear(x.flatten(-len(self.input_shape)))
        theta = theta.tanh() if masks is None else (theta * masks[0]).tanh()
        return theta.unflatten(-1, (self.num_concepts, self.num_classes))

    def as_layers(self):
        shape = (self.num_concepts, self.num_classes)
        linear = standard.perceptron([self.linear])
        return [nn.Flatten(), *linear, nn.Tanh(), nn.Unflatten(1, shape)]
""",
    "pipeline/core/params_choices.py",
    '    section = "parameterizer"\n\n',
    '''
class SquashedLinear(Parameterizer):
    """tanh of one linear layer."""

    name: Literal["squashed"]
    bound: kind.Positive
    built_by = "pipeline.models.linear_relevances:SquashedLinear"

''',
)
METRIC = Recipe(
    "pipeline/metrics/confidence.py",
    """
def confidence(model, data):
    return float(model(data.test.x).logits.softmax(1).amax(1).mean())
""",
    "pipeline/metrics/evaluation.py",
    "METRICS: dict[str, Callable[[Senn, Dataset], float | int]] = {",
    '    "confidence": confidence,',
    "from pipeline.metrics.confidence import confidence",
)
METHOD = Recipe(
    "pipeline/explanations/distances.py",
    """
from pipeline.explanations.method import ExplanationMethod


def build(background):
    return lambda model, x, target: x - background.baseline


DISTANCE = ExplanationMethod("distance", "Distance", "perturbation", "inputs", build)
""",
    "pipeline/explanations/methods.py",
    "    for method in (",
    "        DISTANCE,",
    "from pipeline.explanations.distances import DISTANCE",
)
RECIPES = {
    "dataset": DATASET,
    "robustness variant": VARIANT,
    "conceptizer": CONCEPTIZER,
    "parameterizer": PARAMETERIZER,
    "metric": METRIC,
    "explanation method": METHOD,
}


def follow(recipe: Recipe, repository: Path) -> None:
    (repository / recipe.file).write_text(recipe.content)
    place = repository / recipe.place
    before, anchor, rest = place.read_text().partition(recipe.after + "\n")
    assert anchor, f"{recipe.place} has no {recipe.after}"
    if recipe.imports:
        first = before.index("\nfrom pipeline")
        before = f"{before[:first]}\n{recipe.imports}{before[first:]}"
    place.write_text(f"{before}{anchor}{recipe.registration}\n{rest}")


def own_params() -> dict:
    """The smoke preset, with one experiment that has all there is new."""
    params = yaml.safe_load((REPOSITORY / "presets/smoke.yaml").read_text())
    study = params["study"]["compas_senn"] | {"variants": ["squashed", "paper2018"]}
    experiment = params["experiments"]["compas_senn"] | {
        "dataset": "corners",
        "conceptizer": {"name": "projection", "hidden_size": 6},
        "parameterizer": {"name": "squashed", "bound": 1.0},
        "num_concepts": 3,
        "num_classes": 3,
        "dropout": 0.2,
        "concept_reg": 1.0,
        "batch_size": 20,
    }
    params |= {"datasets": ["corners"], "experiments": {"new": experiment}, "study": {"new": study}}
    params["robustness"]["variant"] = "squashed"
    params["pretrain"] |= {"dataset": "corners", "batch_size": 20}
    return params


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> Path:
    """The copy, in which every recipe was followed and all stages that it concerns have run."""
    folder = tmp_path_factory.mktemp("repository")
    for name in ("pipeline", "stages"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPOSITORY / name, folder / name, ignore=ignored)
    for recipe in RECIPES.values():
        follow(recipe, folder)
    (folder / "params.yaml").write_text(yaml.safe_dump(own_params()))
    mirror = folder / "mirror"
    mirror.mkdir()
    (mirror / "corners.csv").write_text(RAW)
    (folder / "reports").mkdir()
    shutil.copy(REPOSITORY / "reports/template.ipynb", folder / "reports")
    for stage, *name in (
        ("download", "corners"),
        ("prepare", "corners"),
        ("train", "new"),
        ("evaluate", "new"),
        ("explain", "new"),
        ("study", "new"),
        ("report",),
    ):
        variables = {"SENN_DATA_MIRROR": str(mirror), "SENN_CELL_STORE": "off"}
        done = run_stage(folder, stage, *name, code=folder, **variables)
        assert done.returncode == 0, f"{stage}: {done.stderr}"
    return folder


def changed_files(folder: Path) -> tuple[set[str], set[str]]:
    """Python files of the copy that are new, and those that are not as in the repository."""
    new, edited = set(), set()
    for path in folder.rglob("*.py"):
        name = path.relative_to(folder).as_posix()
        if not (REPOSITORY / name).exists():
            new.add(name)
        elif not filecmp.cmp(path, REPOSITORY / name, shallow=False):
            edited.add(name)
    return new, edited


def test_each_is_one_file_and_one_registration(repository):
    new, edited = changed_files(repository)
    assert new == {recipe.file for recipe in RECIPES.values()}
    assert edited == {recipe.place for recipe in RECIPES.values()}


@pytest.mark.parametrize("name", RECIPES)
def test_the_readme_says_where(name):
    section = (REPOSITORY / "README.md").read_text(encoding="utf-8").partition("## Extend it")[2]
    words = section.partition("\n## ")[0]
    assert f"`{RECIPES[name].place}`" in words and name in words.lower()


def test_models_are_made_of_the_new_parts_and_loss(repository):
    curves = pd.read_csv(repository / "reports/curves/new.csv")
    assert len(curves["seed"].unique()) == 2 and not curves.isna().any().any()
    assert (curves["train_robustness"] > 0).all() and (curves["train_concept"] > 0).all()


def test_the_metric_is_a_column(repository):
    cells = pd.read_csv(repository / "reports/cells/new.csv")
    assert cells["confidence"].between(1 / 3, 1).all()
    lambdas = pd.read_csv(repository / "reports/lambda/new.csv")
    assert lambdas["confidence"].iloc[0] == pytest.approx(cells["confidence"].iloc[:2].mean())
    assert cells["lipschitz_input_certified_undefined"].eq(0).all(), "the layers are known"


def test_every_method_explains_it_the_new_one_too(repository):
    methods = pd.read_csv(repository / "reports/methods/new.csv").set_index("method")
    assert "distance" in methods.index and "lrp_epsilon" in methods.index
    assert methods.loc[["distance", "lrp_epsilon", "deep_lift"], "complexity"].notna().all()


def test_the_report_has_the_new_ones(repository):
    page = (repository / "reports/report.html").read_text(encoding="utf-8")
    for name in ("corners", "squashed", "Distance"):
        assert name in page


def test_the_variant_is_studied(repository):
    study = pd.read_csv(repository / "reports/study/new.csv")
    assert list(study["variant"].unique()) == ["squashed", "paper2018"]
    by_variant = study.groupby("variant")["test_robustness_loss"].mean()
    assert by_variant["squashed"] != by_variant["paper2018"]
    json.loads((repository / "reports/metrics/study/new.json").read_text())
