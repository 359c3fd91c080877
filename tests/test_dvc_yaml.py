"""dvc.yaml names the code that stages import, no more and no less, and the params they read."""

import ast
import json
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from dvc.cli import main as dvc
from dvc.repo import Repo
from dvc.stage import PipelineStage
from ruamel.yaml import YAML

from pipeline.core.params import Params
from pipeline.core.params_choices import DATASETS, VARIANTS, Conceptizer, Parameterizer
from pipeline.reporting.sections import SECTIONS
from tests.conftest import REPOSITORY

OURS = ("pipeline", "stages")
# What these files import by the entry points of pipeline/core/params_choices.py.
PARTS = (*Conceptizer.__subclasses__(), *Parameterizer.__subclasses__())
BY_ENTRY_POINT = {
    "pipeline/claims/results.py": [part.built_by for part in Conceptizer.__subclasses__()],
    "pipeline/data/registry.py": [facts.module for facts in DATASETS.values()],
    "pipeline/models/building.py": [part.built_by for part in PARTS],
    "pipeline/reporting/side_by_side.py": [
        f"pipeline.reporting.{name.replace('.', ':')}" for name in SECTIONS
    ],
    "pipeline/training/robustness.py": list(VARIANTS.values()),
}
STAGES = sorted(path.stem for path in (REPOSITORY / "stages").glob("[a-z]*.py"))


@cache
def stages() -> dict[str, PipelineStage]:
    """Stages of dvc.yaml by name, with everything that is interpolated from params.yaml."""
    with Repo(str(REPOSITORY)) as repo:
        return {stage.name: stage for stage in repo.index.stages}


def named(script: str) -> list[PipelineStage]:
    return [stage for name, stage in stages().items() if name.split("@")[0] == script]


def imported(source: str) -> Iterator[str]:
    """Every module that `source` imports, at whatever depth; names imported from one too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, "relative imports are not followed"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def imports_of(path: Path) -> tuple[str, ...]:
    """What our code imports; the parts of a stage have most of it in common."""
    return tuple(imported(path.read_text(encoding="utf-8")))


def file_of(module: str) -> Path | None:
    path = REPOSITORY.joinpath(*module.split("."))
    return path.with_suffix(".py") if path.with_suffix(".py").is_file() else None


@cache
def code_of(script: str) -> frozenset[Path]:
    """Our modules that a stage imports, directly or not; packages' own files have no code."""
    pending = [f"stages.{script}"]
    if script == "report":
        notebook = json.loads((REPOSITORY / "reports/template.ipynb").read_text(encoding="utf-8"))
        cells = (cell for cell in notebook["cells"] if cell["cell_type"] == "code")
        for cell in cells:
            pending += imported("".join(cell["source"]))
    paths: set[Path] = set()
    while pending:
        module = pending.pop()
        path = file_of(module) if module.split(".")[0] in OURS else None
        if path is not None and path not in paths:
            paths.add(path)
            pending += imports_of(path)
            places = BY_ENTRY_POINT.get(path.relative_to(REPOSITORY).as_posix(), ())
            pending += [place.partition(":")[0] for place in places]
    return frozenset(paths)


def code_deps(stage: PipelineStage) -> list[Path]:
    deps = (Path(dep.fs_path) for dep in stage.deps if dep.def_path != "params.yaml")
    return [dep for dep in deps if dep.relative_to(REPOSITORY).parts[0] in OURS]


def test_who_imports_by_entry_points():
    files = (REPOSITORY / "pipeline").rglob("*.py")
    users = {p for p in files if "implementation(" in p.read_text(encoding="utf-8")}
    names = {path.relative_to(REPOSITORY).as_posix() for path in users}
    assert names - {"pipeline/core/params_choices.py"} == BY_ENTRY_POINT.keys()


def test_packages_have_no_code_of_their_own_but_the_import_of_portable():
    packages = [path for folder in OURS for path in (REPOSITORY / folder).rglob("__init__.py")]
    lines = {line for path in packages for line in path.read_text(encoding="utf-8").splitlines()}
    assert {line.partition("  #")[0] for line in lines} == {
        "from pipeline.core import portable as portable"
    }


def test_every_script_is_a_stage():
    assert {name.split("@")[0] for name in stages()} == set(STAGES)


@pytest.mark.parametrize("script", STAGES)
def test_all_imported_code_is_a_dependency(script):
    for stage in named(script):
        deps = code_deps(stage)
        missing = {path for path in code_of(script) if not covered(path, deps)}
        assert not missing, f"{stage.name} imports them: add them to its deps in dvc.yaml"


@pytest.mark.parametrize("script", STAGES)
def test_no_other_code_is_a_dependency(script):
    for stage in named(script):
        for dep in code_deps(stage):
            assert dep.exists()
            imports = [path for path in code_of(script) if covered(path, [dep])]
            assert imports, f"{stage.name} does not import {dep}: remove it from dvc.yaml"


def covered(path: Path, deps: list[Path]) -> bool:
    return any(dep == path or dep in path.parents for dep in deps)


def test_only_disenn_starts_from_the_pretrained_vae():
    starting = {s.name for s in named("train") if "models/vae" in {d.def_path for d in s.deps}}
    assert starting == {"train@mnist_disenn"}


def test_an_experiment_or_a_dataset_is_an_entry_of_params(tmp_path):
    shutil.copytree(REPOSITORY / ".dvc", tmp_path / ".dvc", ignore=shutil.ignore_patterns("tmp"))
    shutil.copy(REPOSITORY / "dvc.yaml", tmp_path)
    yaml = YAML()
    params = yaml.load(REPOSITORY / "params.yaml")
    params["datasets"].append("mnist")
    params["experiments"]["wide"] = params["experiments"]["mnist_senn"] | {"dataset": "mnist"}
    params["explain"]["experiments"].append("wide")
    yaml.dump(params, tmp_path / "params.yaml")
    (tmp_path / ".dvc/config").write_text("[core]\n    no_scm = true\n")
    with Repo(str(tmp_path)) as repo:
        deps = {stage.name: {dep.def_path for dep in stage.deps} for stage in repo.index.stages}
    added = {"download@mnist", "prepare@mnist", "train@wide", "evaluate@wide", "headline@wide"}
    assert set(deps) - set(stages()) == added
    assert "data/prepared/mnist" in deps["train@wide"] & deps["evaluate@wide"]
    assert "models/wide" in deps["evaluate@wide"]


# What is measured of trained models follows from them and from the list of them, whose stages read
# sections `experiments`, `lambda_grid` and `seeds`.
READ = {
    "download": set(),
    "prepare": {"split_seed", "texts"},
    "pretrain": {"pretrain", "seeds", "vae"},
    "grid": {"experiments", "lambda_grid", "robust_reg", "seeds"},
    "train": {"experiments.{key}", "robustness"},
    "evaluate": {"evaluate"},
    "headline": {"robust_reg"},
    "explain": {
        "attack",
        "certify",
        "evaluate.bootstrap",
        "evaluate.lipschitz_concept_resolution",
        "evaluate.lipschitz_local_radius",
        "explain",
        "power",
        "robust_reg",
    },
    "rivals": {
        "evaluate.lipschitz_concept_resolution",
        "evaluate.lipschitz_discrete_radius",
        "evaluate.lipschitz_local_radius",
        "evaluate.lipschitz_local_restarts",
        "evaluate.lipschitz_local_steps",
        "experiments",
        "lambda_grid",
        "rivals",
        "seeds",
    },
    "tokenizer": {"evaluate.bootstrap", "tokenizer"},
    "share": {"robust_reg"},
    "study": {"evaluate", "experiments.{key}", "study.{key}"},
    "report": set(Params.model_fields) - {"device", "compute"},
}


@pytest.mark.parametrize("script", STAGES)
def test_stages_depend_on_the_params_they_read(script):
    for stage in named(script):
        key = stage.name.partition("@")[2]
        names = {name for dep in stage.deps for name in getattr(dep, "params", ())}
        assert names == {name.format(key=key) for name in READ[script]}


@pytest.mark.parametrize("script", ["evaluate", "explain", "share"])
def test_what_works_on_trained_models_depends_on_them_and_on_their_list(script):
    for stage in named(script):
        key = stage.name.partition("@")[2]
        needed = {f"models/{key}", f"data/grid/{key}.csv"} if key else {"models", "data/grid"}
        assert needed <= {dep.def_path for dep in stage.deps}


def test_training_depends_on_the_list_of_models():
    for stage in named("train"):
        assert f"data/grid/{stage.name.partition('@')[2]}.csv" in {d.def_path for d in stage.deps}


def test_the_report_depends_on_what_it_shows_of_the_full_run():
    (report,) = named("report")
    full = {dep.def_path for dep in report.deps if dep.def_path.startswith("reports/paper")}
    assert full == {"reports/paper/claims.csv", "reports/paper/study/mnist_senn.csv"}
    assert all((REPOSITORY / path).is_file() for path in full), "committed, not made by a stage"


def test_only_large_outs_are_cached():
    for stage in stages().values():
        for out in stage.outs:
            assert out.use_cache == out.def_path.startswith(("data/", "models/")), out


def test_artifacts_are_what_stages_share():
    content = YAML(typ="safe", pure=True).load(REPOSITORY / "dvc.yaml")
    (stage,) = named("share")
    assert [out.def_path for out in stage.outs] == ["reports/models"]
    for name, artifact in content["artifacts"].items():
        path = artifact["path"]
        assert Path("reports/models") in (Path(path), Path(path).parent.parent), name
        assert artifact["type"] == "model" and artifact["desc"] and artifact["labels"], name
        assert path == "reports/models" or Path(path).stem == name.replace("-", "_")


def test_plots_use_columns_and_templates_that_exist():
    content = YAML(typ="safe", pure=True).load(REPOSITORY / "dvc.yaml")
    for plot in content["plots"]:
        ((path, settings),) = plot.items()
        assert set(settings) == {"template", "x", "y", "title", "x_label", "y_label"}, path
        template = REPOSITORY / ".dvc/plots" / f"{settings['template']}.json"
        spec = json.dumps(json.loads(template.read_text(encoding="utf-8")))
        for anchor in ("DATA", "TITLE", "X", "Y", "X_LABEL", "Y_LABEL", "COLOR"):
            assert f"<DVC_METRIC_{anchor}>" in spec, f"{template}: {anchor}"
        assert "experiment" in spec, f"{template} does not say which experiment it shows"


def test_the_table_of_metrics_fits_a_terminal(monkeypatch, capsys):
    monkeypatch.chdir(REPOSITORY)
    assert dvc(["metrics", "show"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 12 and max(map(len, lines)) <= 120
