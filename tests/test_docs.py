"""README.md, CONTRIBUTING.md, docs/: links lead somewhere; what they name and number is there."""

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pandas as pd
import pytest

from pipeline.claims.comparison import Decided
from pipeline.claims.published import CLAIMS
from tests.conftest import REPOSITORY

README = REPOSITORY / "README.md"
PAGES = [README, REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"^```.*?\n(.*?)^```|`([^`]+)`", re.DOTALL | re.MULTILINE)
LINK = re.compile(r'\]\(([^)\s]+)\)|(?:src|href)="([^"]+)"')
OUR_PATH = re.compile(
    r"(?:benchmarks|docs|pipeline|presets|reports|stages|tests|verification)/[\w./-]+"
)
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def anchor(heading: str) -> str:
    """GitHub's, of a heading's source: lowercase; of punctuation only - and _ stay; spaces to -."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    """Those of all headings of `page`; repeated ones are numbered. Of HTML, all ids."""
    if page.suffix == ".html":
        return set(re.findall(r'\bid="([^"]+)"', text_of(page)))
    headings = re.findall(r"^#+ +(.+?) *$", FENCED.sub("", text_of(page)), re.MULTILINE)
    seen: dict[str, int] = {}
    for name in map(anchor, headings):
        seen[name] = seen.get(name, -1) + 1
    return {f"{name}-{i}" if i else name for name, last in seen.items() for i in range(last + 1)}


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """File and anchor of every link of `page` into the repository."""
    for groups in LINK.findall(FENCED.sub("", text_of(page))):
        target = "".join(groups)
        if not target.startswith(("https://", "http://")):
            path, _, name = target.partition("#")
            yield (page.parent / path).resolve() if path else page, name


def code(page: Path) -> str:
    """All code of `page`, in blocks and in lines, a line each."""
    return "\n".join(
        " ".join(inline.split()) or block for block, inline in CODE.findall(text_of(page))
    )


CARDS = sorted((REPOSITORY / "reports").rglob("models/*/*.md"))


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.relative_to(REPOSITORY).as_posix())
def test_cards_of_models_lead_somewhere_and_load_their_model(card):
    for path, name in links(card):
        assert path.exists(), path
        assert not name or name in anchors(path), f"{path}#{name}"
    run = card.relative_to(REPOSITORY / "reports").parts[0]
    model = card.stem if run == "models" else f"{run}/{card.stem}"
    named = re.findall(r'-m pipeline\.explain (\S+)|load\("(.+?)"\)', text_of(card))
    assert {"".join(pair) for pair in named} == {model}


@pytest.mark.parametrize(
    ("heading", "expected"),
    [
        ("Check it: `make verify`", "check-it-make-verify"),
        ("The β-VAE's target, 2 × 2", "the-β-vaes-target-2--2"),
        ("[Two](somewhere.md) commands_here", "two-commands_here"),
    ],
)
def test_anchors_are_githubs(heading, expected):
    assert anchor(heading) == expected


@each_page
def test_links_lead_somewhere(page):
    for path, name in links(page):
        assert path.exists(), path
        assert not name or name in anchors(path), f"{path.name}#{name}"


def test_the_readme_links_every_page():
    assert {path for path, _ in links(README)} >= set(PAGES) - {README}


@each_page
def test_files_that_it_names_are_there(page):
    for name in re.findall(r"`([^`\s]+)`", FENCED.sub("", text_of(page))):
        if OUR_PATH.fullmatch(name):
            is_new = f"New file `{name}`" in text_of(page)
            assert (REPOSITORY / name).exists() != is_new, name


@each_page
def test_commands_that_it_names_are_there(page):
    targets = re.findall(r"^([a-z]+):", text_of(REPOSITORY / "Makefile"), re.MULTILINE)
    for target in re.findall(r"(?:^|&& |/folder )make ([a-z]+)", code(page), re.MULTILINE):
        assert target in targets
    for module in re.findall(r"python -m ([\w.]+)", code(page)):
        found = importlib.util.find_spec(module)
        assert found, module
        if found.submodule_search_locations is not None:
            assert importlib.util.find_spec(f"{module}.__main__"), module


def measured(reports: Path) -> pd.DataFrame:
    """By claim, what the run tested, and what it measured and the full run did not test."""
    own, full = (
        pd.read_csv(path, index_col="claim") if path.exists() else pd.DataFrame()
        for path in (reports / "claims.csv", reports / "paper/claims.csv")
    )
    own = own.dropna(subset="mean")
    if full.empty:
        return own
    decided = full[full["verdict"].isin(get_args(Decided))].dropna(subset="mean")
    return pd.concat([own[own["verdict"] != "not tested"], decided, own]).groupby(level=0).first()


def test_what_the_full_run_tested_stands_for_what_the_run_did_not(tmp_path):
    def write(name: str, **verdicts: tuple[str, float]) -> None:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        table = pd.DataFrame(verdicts, index=["verdict", "mean"]).T
        table.rename_axis("claim").to_csv(tmp_path / name)

    write("claims.csv", a=("undecided", 0.1), b=("not tested", 0.2), c=("not tested", 0.3))
    assert measured(tmp_path)["mean"].to_dict() == {"a": 0.1, "b": 0.2, "c": 0.3}
    write("paper/claims.csv", a=("reproduced", 0.7), b=("reproduced", 0.8), c=("not tested", 0.9))
    assert measured(tmp_path)["mean"].to_dict() == {"a": 0.1, "b": 0.8, "c": 0.3}


def test_the_readmes_results_are_those_of_the_claims():
    """All that was measured of what has a published number, at the ends of the grid of λ.

    Of full MNIST, that is what the full run measured.
    """
    shown = {c.id for c in CLAIMS if c.numbers and not c.id.startswith("mnist-accuracy-")}
    claims = measured(REPOSITORY / "reports")
    for claim, row in claims[claims.index.isin(shown)].iterrows():
        mean, low, high = (f"{100 * row[name]:.1f}" for name in ("mean", "low", "high"))
        unit = "points" if "tradeoff" in claim else "%"
        assert f"{mean} {unit} ({low} to {high})" in text_of(README), claim
