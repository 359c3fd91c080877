"""The section on made-up tables: what it says, what its figures show, and what is undefined."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from pipeline.claims.rivals import CONTESTS, judge_contest
from pipeline.reporting.display import Picture, Prose, Table
from pipeline.reporting.paper_figures import findings, noise_and_gradients, paper_figures
from pipeline.reporting.style import png
from pipeline.rivals.methods import CONTRIBUTION, SENN, rivals_for
from pipeline.rivals.tables import table

EXPERIMENTS = sorted({name for contest in CONTESTS.values() for name in contest.experiments})


def made_up(images, unstable, undefined=False):
    """Ratios of SENN's relevances around 1; `unstable(method, setting)` is the others' factor."""
    measured = {}
    for method, rival in rivals_for(images).items():
        measured[method] = []
        for seed in range(4):
            random = np.random.default_rng(seed)
            values = {"length/": np.ones(1)}
            settings = ["paper", "fair", *(["gradient"] if rival.differentiable else [])]
            for setting in settings:
                ratios = unstable(method, setting) * random.lognormal(sigma=0.01, size=8)
                values[f"local/{setting}"] = ratios
                if setting != "gradient":
                    if not images:
                        values[f"discrete/{setting}"] = ratios
                    correlations = np.full(8, np.nan) if undefined else random.uniform(0, 1, 8)
                    values[f"faithfulness/{setting}"] = correlations
            measured[method].append(values)
    return table(measured, 100)


def unfair(method, setting):
    """Others are ten times as unstable as SENN in the paper's setting, and twice as stable else."""
    if setting == "gradient":
        return 3.0
    if method in (SENN, CONTRIBUTION):
        return 1.0
    return 10.0 if setting == "paper" else 0.5


@pytest.fixture
def tables():
    return {name: made_up(name == "mnist_senn", unfair) for name in EXPERIMENTS}


def parts(tables):
    return paper_figures(SimpleNamespace(rivals=tables))


def test_the_finding_comes_first(tables):
    first = parts(tables)[0].markdown
    assert first.startswith("**Holds in the paper’s setting, on some tables at least, but not in")
    changed, others = first.split("The others:")
    for claim in ("stability-uci", "stability-mnist", "stability-compas"):
        (line,) = (line for line in changed.splitlines() if f"**{claim}**, on " in line)
        assert "*paper’s setting* holds" in line
        assert "*same search* fails" in line and "*like with like* fails" in line
    assert "holds on 5 of 5 tables" in changed and "holds on 0 of 5 tables" in changed
    assert "×0.50" in changed
    assert "**faithfulness-uci**" in others
    assert "stability-digit" not in first


def test_without_such_a_finding_it_says_so(tables):
    bouts = {name: judge_contest(contest, tables) for name, contest in CONTESTS.items()}
    bouts = {"faithfulness-uci": bouts["faithfulness-uci"]}
    assert "in every fair one:** no claim." in findings(bouts)


def test_factors_of_noise_and_of_gradients(tables):
    text = noise_and_gradients(tables)
    assert "LIME ×20 to 20 and SHAP ×20 to 20" in text
    assert "gradient ascent finds ×3.0 to 3.0" in text


def test_verdicts_by_table_and_together(tables):
    shown = [part for part in parts(tables) if isinstance(part, Table)]
    uci = shown[0]
    experiments = [*CONTESTS["stability-uci"].experiments, "together"]
    assert [row[0] for row in uci.rows if row[0]] == experiments
    assert [row[0] for row in uci.rows if row[1] == "verdict"] == experiments
    assert uci.rows[-1][2:] == ["reproduced", *["not reproduced"] * 3]
    assert uci.rows[1][:2] == ["", "LIME"] and uci.rows[1][2].startswith("×10")
    assert len(shown) == 4


def test_every_figure_is_drawn_and_described(tables):
    pictures = [part for part in parts(tables) if isinstance(part, Picture)]
    names = ["paper_figure_3", "paper_figure_4", "paper_figure_5c", "paper_figure_10"]
    assert [picture.name for picture in pictures] == names
    for picture in pictures:
        assert png(picture.figure).startswith(b"\x89PNG")
        assert "SENN, θ" in picture.alt
    assert "LIME ⊖" in pictures[0].alt
    published = pictures[1].figure.axes[0]
    at = [line.get_xdata()[0] for line in published.lines if line.get_marker() == "^"]
    assert sorted(at) == sorted(CONTESTS["stability-digit"].published.values())


def test_equal_dots_are_both_seen_and_cut_lines_are_said(tables):
    (picture,) = (part for part in parts(tables) if getattr(part, "name", "") == "paper_figure_10")
    dots = [line for line in picture.figure.axes[0].lines if line.get_marker() == "o"]
    hollow, filled = (
        [dot for dot in dots if (dot.get_markerfacecolor() == "white") == is_hollow]
        for is_hollow in (True, False)
    )
    for below, above in zip(hollow, filled, strict=True):
        assert dots.index(below) < dots.index(above)
        assert below.get_markersize() > above.get_markersize() + 2 * above.get_markeredgewidth()
    assert "cut off at a tenth of the value" in picture.caption


def test_what_is_undefined_is_missing(tables):
    tables = {name: made_up(False, unfair, undefined=True) for name in EXPERIMENTS
              if name != "mnist_senn"}  # fmt: skip
    shown = parts(tables)
    rows = [row for part in shown if isinstance(part, Table) for row in part.rows]
    assert ["LIME", "–"] in [row[1:3] for row in rows]
    for part in shown:
        if isinstance(part, Picture):
            png(part.figure)


def test_a_run_that_compares_nothing():
    (only,) = parts({})
    assert isinstance(only, Prose) and "compares no methods" in only.markdown


def test_flat_explanations_can_be_drawn():
    flat = {name: made_up(False, lambda *_: 0.0) for name in ("compas_senn",)}
    for part in parts(flat):
        if isinstance(part, Picture):
            png(part.figure)
    assert isinstance(flat["compas_senn"], pd.DataFrame)
