"""The recipes of docs/extending.md, followed to the letter in a copy of the code.

Each is one new file and one registration; then params.yaml has an experiment with all of them, and
the stages run one after the other.
"""

import filecmp
import re
import shutil
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import yaml

from tests.conftest import REPOSITORY
from tests.processes import run_stage
from tests.stages.workspace import tiny

PAGE = REPOSITORY / "docs/extending.md"
BLOCK = re.compile(r"`([\w/]+\.py)`:\n\n```(python|diff)\n(.*?)```", re.DOTALL)


class Recipe(NamedTuple):
    """A new `file` with `content`, and the `change` of another file, `place`."""

    file: str
    content: str
    place: str
    change: str


def read_recipe(title: str) -> Recipe:
    """What the section under `title` says."""
    section = PAGE.read_text(encoding="utf-8").split(f"\n## {title}\n")[1].split("\n## ")[0]
    (file, _, content), (place, _, change) = BLOCK.findall(section)
    return Recipe(file, content, place, change)


RECIPES = {
    title: read_recipe(title)
    for title in (
        "A dataset",
        "A robustness variant",
        "A conceptizer",
        "A parameterizer",
        "A metric",
        "An explanation method",
    )
}
RAW = "x1,x2,x3,x4,y\n" + "".join(  # the dataset's file
    f"{a:.4f},{b:.4f},{c:.4f},{d:.4f},{int(a + b > 1) + int(c > 0.8)}\n"
    for a, b, c, d in np.random.default_rng(0).random((120, 4))
)


def follow(recipe: Recipe, repository: Path) -> None:
    """Write the new file. Added lines go after the line above them in the change, else imports."""
    (repository / recipe.file).write_text(recipe.content)
    place = repository / recipe.place
    text, above = place.read_text(), ""
    for is_added, lines in groupby(recipe.change.splitlines(), lambda line: line.startswith("+")):
        block = "".join(f"{line[1:]}\n" for line in lines)
        if not is_added:
            above = block
            continue
        where = (
            text.index(above) + len(above) if above.strip() else text.index("\nfrom pipeline") + 1
        )
        text = text[:where] + block + text[where:]
    place.write_text(text)


def own_params() -> dict:
    """The smoke preset in small, with one experiment that has all there is new."""
    params = tiny(yaml.safe_load((REPOSITORY / "presets/smoke.yaml").read_text()), "compas_senn")
    study = params["study"]["compas_senn"] | {"variants": ["squashed", "paper2018"]}
    experiment = params["experiments"]["compas_senn"] | {
        "dataset": "corners",
        "conceptizer": {"name": "projection", "hidden_size": 6},
        "parameterizer": {"name": "squashed", "hidden_size": 6},
        "num_concepts": 3,
        "num_classes": 3,
        "dropout": 0.2,
        "concept_reg": 1.0,
        "batch_size": 20,
    }
    params |= {"experiments": {"new": experiment}, "study": {"new": study}}
    params["datasets"] = ["corners", "reuters_r8"]
    for section in ("explain", "rivals", "certify"):
        params[section]["experiments"] = ["new"]
    params["tokenizer"]["batch_size"] = 16
    params["robustness"]["variant"] = "squashed"
    params["pretrain"] |= {"dataset": "corners", "batch_size": 20}
    return params


@pytest.fixture(scope="module")
def repository(tmp_path_factory, raw_data) -> Path:
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
    shutil.copytree(raw_data("reuters_r8"), folder / "data/raw/reuters_r8")
    (folder / "reports").mkdir()
    shutil.copy(REPOSITORY / "reports/template.ipynb", folder / "reports")
    shutil.copy(REPOSITORY / "requirements.txt", folder)
    for stage, *name in (
        ("download", "corners"),
        ("prepare", "corners"),
        ("train", "new"),
        ("evaluate", "new"),
        ("explain",),
        ("rivals",),
        ("tokenizer",),
        ("share",),
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
    by_variant = study.groupby("variant")["robustness_loss"].mean()
    assert by_variant["squashed"] != by_variant["paper2018"]
    assert study["majority_accuracy"].between(0, 1).all()
