import io
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from pipeline.claims.published import CLAIMS
from pipeline.claims.verdicts import Verdict
from pipeline.metrics.intervals import Interval, accuracy_interval
from pipeline.reporting import style
from pipeline.reporting.accuracy import accuracy_against_lambda
from pipeline.reporting.claims import claims_at_a_glance
from pipeline.reporting.collapse import collapse_curves
from pipeline.reporting.common import image_rows
from pipeline.reporting.concepts import (
    correlation_heat_map,
    filter_grid,
    prototype_grid,
)
from pipeline.reporting.explanations import (
    Example,
    contrastive_explanation,
    image_explanation,
    table_explanation,
)
from pipeline.reporting.heat_maps import image_heat_maps, table_heat_map
from pipeline.reporting.method_scores import faithfulness_against_stability, method_curves
from pipeline.reporting.stability import (
    certified_stability,
    neighbour_relevances,
)
from pipeline.reporting.training import pretraining_curves, training_curves
from pipeline.reporting.worst_case import attacked, bracket, by_radius
from pipeline.study.published import PublishedCurve, PublishedRange

WIDTH, SMALL_WIDTH = (round(width * style.DPI) for width in (style.WIDTH, style.SMALL_WIDTH))
RANDOM = np.random.default_rng(0)
REVIEW = PublishedCurve("e", "review, best validation accuracy", {1e-4: (0.8, 0.9), 1.0: (0.6,)})
PAPER = PublishedRange("e", "paper, as quoted", 0.0, 1.0, 0.987, 0.991)


def cells(lambdas=(1e-4, 1e-2, 1.0), seeds=3) -> pd.DataFrame:
    grid = [(value, seed) for value in lambdas for seed in range(seeds)]
    table = pd.DataFrame(grid, columns=["robust_reg", "seed"])
    table["accuracy"] = 0.9 - 0.1 * np.arange(len(table)) / len(table)
    table["collapsed"] = (table.robust_reg >= 0.1).astype(int)
    return table.assign(accuracy_low=table.accuracy - 0.02, accuracy_high=table.accuracy + 0.02)


LIMITS = {"x": 1.0, "relevances": 3.0, "concepts": 2.0, "contributions": 2.5,
          "contrast_contributions": 4.0}  # fmt: skip


def example(features=5, image=True) -> Example:
    values = RANDOM.normal(size=(4, features))
    x = RANDOM.random((1, 28, 28)) if image else RANDOM.random(features)
    return Example(x, "7", "7", "9", 0.87, *values)


def curves(quantities=("valid_accuracy", "train_robustness", "train_concept")) -> pd.DataFrame:
    rows = [
        {"robust_reg": reg, "seed": seed, "step": step}
        | {quantity: 0.1 * step + reg + seed for quantity in quantities}
        for reg in (0.1, 1.0)
        for seed in (1, 2)
        for step in (1, 2, 3)
    ]
    return pd.DataFrame(rows)


def collapsing() -> pd.DataFrame:
    """Three seeds, three validations each: the second has the best accuracy."""
    losses, accuracies = (0.69, 0.68, 0.69), (0.4, 0.6, 0.5)
    rows = [
        {"seed": seed, "step": 10 * place, "valid_classification": loss, "valid_accuracy": accuracy}
        for seed in (1, 2, 3)
        for place, (loss, accuracy) in enumerate(zip(losses, accuracies, strict=True), start=1)
    ]
    return pd.DataFrame(rows)


def neighbourhoods(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Images, their 5 neighbours and 3 others, and relevances."""
    return RANDOM.random((count, 9, 1, 28, 28)), RANDOM.normal(size=(count, 9, 5))


def prototypes(images: np.ndarray) -> Figure:
    concepts = len(images)
    notes = [f"note {index}" for index in range(concepts)]
    return prototype_grid(
        images, notes, np.linspace(0, 1, concepts), Interval(0.3, 0.2, 0.4), "Title"
    )


def correlations(concepts: int, constant: tuple[int, ...] = ()) -> np.ndarray:
    matrix = np.corrcoef(RANDOM.normal(size=(concepts, 9)))
    matrix[list(constant)] = matrix[:, list(constant)] = np.nan
    return matrix


def vae_curves() -> pd.DataFrame:
    columns = ("train_loss", "valid_loss", "valid_kl")
    rows = [
        {"seed": seed, "epoch": epoch} | {column: seed / epoch for column in columns}
        for seed in (1, 2)
        for epoch in (1, 2, 3)
    ]
    return pd.DataFrame(rows)


STATUSES = ("reproduced", "undecided", "not reproduced", "not tested")


def some_verdicts() -> list[Verdict]:
    measured = [claim for claim in CLAIMS if claim.numbers]
    statuses = [*STATUSES, *STATUSES, "not tested", "not tested"]
    return [
        Verdict(claim, status, Interval(0.5, 0.4, 0.6), "")
        for claim, status in zip(measured, statuses, strict=True)
    ]


def ratios(lambdas=(1e-4, 1e-2, 1.0), **changes) -> pd.DataFrame:
    table = cells(lambdas)
    steps = np.arange(len(table))
    columns = {"lower": 0.1 / (1 + steps), "exact": 0.2 / (1 + steps), "certified": 3.0 + steps}
    columns = {name: changes.get(name, values) for name, values in columns.items()}
    return table.assign(**{f"lipschitz_input_{name}": v for name, v in columns.items()})


def radii(**more) -> pd.DataFrame:
    quantities = {"found": 1.0, "certified": 2.0, "intervals": 30.0, **more}
    rows = [
        {"measure": "certify", "quantity": name, "radius": radius, "value": value * (1 + radius),
         "value_low": value, "value_high": 2 * value, "undefined": 0}
        for name, value in quantities.items()
        for radius in (0.01, 0.1, 1.0)
    ]  # fmt: skip
    return by_radius(pd.DataFrame(rows), "certify")


def attacked_digits() -> tuple[np.ndarray, list[list[str]], dict[str, np.ndarray]]:
    values = RANDOM.uniform(-3, 3, (2, 2, 2, 5))
    labels = 2 * [["7\nmore than 99.9 %", "7\n50.0 %"]]
    shown = {"concepts": values[0], "relevances": values[1]}
    return RANDOM.random((2, 2, 1, 28, 28)), labels, shown


METHODS = {f"A method of long name {index}": index for index in range(20)}
FAMILIES = ("self-explaining", "gradient", "propagation", "perturbation")


def scored() -> pd.DataFrame:
    rows = []
    for index, label in enumerate(METHODS):
        faithfulness, ratio = 0.9 - 0.07 * index, 0.02 * (index + 1) ** 2
        row = {"label": label, "family": FAMILIES[index % 4], "method": f"m{index}"}
        row |= {"faithfulness": faithfulness, "lipschitz_local": ratio}
        row |= {"faithfulness_low": faithfulness - 0.1, "faithfulness_high": faithfulness + 0.1}
        row |= {"lipschitz_local_low": 0.8 * ratio, "lipschitz_local_high": 1.3 * ratio}
        row |= {"by_removal": FAMILIES[index % 4] == "perturbation"}
        rows.append(row | {"speaks_of": "concepts" if index < 2 else "inputs"})
    return pd.DataFrame(rows)


def scored_curves() -> pd.DataFrame:
    kinds = ("deletion", "insertion", "noise", "randomisation")
    rows = [
        {"method": f"m{i}", "label": label, "curve": kind, "position": x, "value": i * x / 10}
        for i, label in enumerate(METHODS)
        for kind in kinds
        for x in (0.0, 0.5, 1.0)
    ]
    return pd.DataFrame(rows)


def families() -> dict[str, str]:
    return {f"m{index}": FAMILIES[index % 4] for index in range(len(METHODS))}


FIGURES = {
    "image heat maps": lambda: image_heat_maps(
        RANDOM.random((4, 1, 28, 28)),
        {label: RANDOM.uniform(-1, 1, (4, 28, 28)) for label in METHODS},
        "Title",
    ),
    "table heat map": lambda: table_heat_map(
        {label: RANDOM.uniform(-1, 1, 11) for label in METHODS}, ["Age Above FourtyFive"] * 11, "T"
    ),
    "methods": lambda: faithfulness_against_stability(scored(), "Title"),
    "one method": lambda: faithfulness_against_stability(scored()[:1], "Title"),
    "method curves": lambda: method_curves(scored_curves(), families(), "Title"),
    "accuracy": lambda: accuracy_against_lambda(cells(), [REVIEW], [PAPER], "Title"),
    "accuracy, one seed": lambda: accuracy_against_lambda(cells(seeds=1), [], [], "Title"),
    "accuracy, λ = 0": lambda: accuracy_against_lambda(cells((0, 0.1)), [REVIEW], [], "Title"),
    "accuracy, only λ = 0": lambda: accuracy_against_lambda(cells((0,)), [], [], "Title"),
    "certified": lambda: certified_stability(ratios(), "Title"),
    "certified, one λ": lambda: certified_stability(ratios((0.1,)), "Title"),
    "certified, λ = 0": lambda: certified_stability(ratios((0, 0.1), lower=0.0), "Title"),
    "certified, unknown": lambda: certified_stability(ratios(certified=np.nan), "Title"),
    "worst case": lambda: bracket(radii(), "Title"),
    "worst case, exact": lambda: bracket(radii(exact=1.5), "Title"),
    "attack": lambda: attacked(*attacked_digits(), "Title"),
    "claims": lambda: claims_at_a_glance(some_verdicts(), "Title", {}),
    "table": lambda: table_explanation(
        example(11, image=False), ["Age Above FourtyFive"] * 11, LIMITS
    ),
    "image": lambda: image_explanation(example(), LIMITS),
    "contrast": lambda: contrastive_explanation(
        example(), RANDOM.random((5, 7, 1, 28, 28)), LIMITS
    ),
    "table, long names": lambda: table_explanation(
        replace(example(3, image=False), prediction="Medium or High", truth="Neither of them"),
        ["a", "b", "c"],
        LIMITS,
    ),
    "contrast, long names": lambda: contrastive_explanation(
        replace(example(), prediction="A very long class name", truth="Another long class name"),
        RANDOM.random((5, 7, 1, 28, 28)),
        LIMITS,
    ),
    "prototypes": lambda: prototypes(RANDOM.random((5, 9, 1, 28, 28))),
    "correlations": lambda: correlation_heat_map(correlations(5), "Title"),
    "correlations, many": lambda: correlation_heat_map(correlations(30, (3,)), "Title"),
    "filters": lambda: filter_grid(
        RANDOM.normal(size=(10, 5, 5)), RANDOM.normal(size=(5, 10, 5, 5)), "Title"
    ),
    "neighbours": lambda: neighbour_relevances(*neighbourhoods(4), "Title"),
    "reconstructions": lambda: image_rows(
        {"input": RANDOM.random((10, 1, 28, 28)), "mnist\ndisenn": RANDOM.random((10, 1, 28, 28))},
        "Title",
    ),
    "training": lambda: training_curves(
        curves(), {"valid_accuracy": "a", "train_robustness": "b", "train_concept": "c"}, "Title"
    ),
    "pretraining": lambda: pretraining_curves(vae_curves(), "Title"),
    "collapse": lambda: collapse_curves(collapsing(), "best_validation_loss", 0.7, 2, "Title"),
}


class Drawn(NamedTuple):
    """A figure, laid out, its PNG, and what makes another one of the same data."""

    figure: Figure
    png: bytes
    make: Callable[[], Figure]


@pytest.fixture(scope="module", params=FIGURES)
def drawn(request) -> Drawn:
    """A kind of figure."""

    def make() -> Figure:
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(globals(), "RANDOM", np.random.default_rng(0))
            return FIGURES[request.param]()

    figure = make()
    return Drawn(figure, style.png(figure), make)


def test_nothing_is_cut_off(drawn):
    box, (width, height) = drawn.figure.get_tightbbox(), drawn.figure.get_size_inches()
    rounding = 1e-6
    assert box.x0 >= -rounding and box.y0 >= -rounding
    assert box.x1 <= width + rounding and box.y1 <= height + rounding


def test_png_is_the_same_every_time_and_undated(drawn):
    assert style.png(drawn.make()) == drawn.png
    with Image.open(io.BytesIO(drawn.png)) as image:
        assert image.width in (WIDTH, SMALL_WIDTH)
        assert set(image.info) <= {"dpi"}
        assert image.getpixel((0, 0))[:3] == (255, 255, 255)


def texts(figure: Figure) -> set[str]:
    return {text.get_text() for text in figure.findobj(Text)}


def test_text_is_dark_enough_on_white(drawn):
    """WCAG 2.2, 1.4.3: a contrast of 4.5. White text stands on dark cells."""
    for text in drawn.figure.findobj(Text):
        if text.get_text() and text.get_visible() and to_hex(text.get_color()) != "#ffffff":
            assert style.contrast(text.get_color()) >= 4.5, text.get_text()


def test_contrast():
    """Black and white by definition; grey 118 is the lightest that passes (WebAIM)."""
    assert style.contrast("black") == pytest.approx(21)
    assert style.contrast("white") == pytest.approx(1)
    assert style.contrast("#767676") >= 4.5 > style.contrast("#777777")
    assert style.readable(style.INK) == style.INK
    assert 4.5 <= style.contrast(style.readable("#CC79A7")) < 4.8


def test_figures_do_not_depend_on_the_callers_style():
    plain = style.png(FIGURES["accuracy"]())
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red", "savefig.bbox": "tight"}):
        assert style.png(FIGURES["accuracy"]()) == plain


def lines(figure: Figure) -> dict[str, np.ndarray]:
    """Labelled lines of the first axes: label → points (N, 2)."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    points = {}
    for handle, label in zip(handles, labels, strict=True):
        line = handle.lines[0] if hasattr(handle, "lines") else handle
        if hasattr(line, "get_xydata"):
            points[label] = line.get_xydata()
    return points


def test_accuracy_shows_means_seeds_intervals_and_published_curves():
    table = cells().assign(collapsed=0)
    figure = accuracy_against_lambda(table, [REVIEW], [PAPER], "A question?")
    axes = figure.axes[0]
    drawn = lines(figure)
    means = table.groupby("robust_reg")["accuracy"].mean()
    expected = np.column_stack([means.index, means])
    np.testing.assert_allclose(drawn["this run, test accuracy"], expected)
    np.testing.assert_allclose(drawn[REVIEW.label], [[1e-4, 0.85], [1.0, 0.6]])
    seeds = next(
        line for line in axes.lines if line.get_linestyle() == "None" and len(line.get_xdata()) == 9
    )
    np.testing.assert_allclose(seeds.get_ydata(), table["accuracy"])

    (bars,) = axes.containers[0].lines[2]
    for segment, (value, group) in zip(
        bars.get_segments(), table.groupby("robust_reg"), strict=True
    ):
        interval = accuracy_interval(group)
        np.testing.assert_allclose(segment, [[value, interval.low], [value, interval.high]])
    band = next(item for item in axes.collections if item.get_label() == PAPER.label)
    bounds = band.get_paths()[0].get_extents()
    assert (bounds.y0, bounds.y1) == pytest.approx((0.987, 0.991))
    assert (bounds.x0, bounds.x1) == pytest.approx((1e-4, 1.0))  # 0 is not on this axis
    assert figure.get_suptitle() == "A question?"


def test_accuracy_axis_is_logarithmic_with_a_tick_per_lambda():
    axes = accuracy_against_lambda(cells(), [], [], "T").axes[0]
    assert axes.get_xscale() == "log"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.0001", "0.01", "1"]


def test_lambda_zero_is_left_of_all_others():
    figure = accuracy_against_lambda(cells((0, 1e-5, 1)), [], [], "T")
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "10⁻⁵", "1"]
    positions = axes.transData.transform([(0, 0), (1e-5, 0), (1, 0)])[:, 0]
    left, right = axes.bbox.x0, axes.bbox.x1
    assert left < positions[0] < positions[1] - 20 < positions[2] < right


def test_one_seed_has_no_error_bars():
    axes = accuracy_against_lambda(cells(seeds=1), [], [], "T").axes[0]
    (bars,) = axes.containers[0].lines[2]
    assert all(np.ptp(segment[:, 1]) == 0 for segment in bars.get_segments())


def bar_values(axes) -> list[float]:
    return [patch.get_width() for patch in axes.patches]


def bar_colours(axes) -> list[str]:
    return [to_hex(patch.get_facecolor()).upper() for patch in axes.patches]


def test_table_explanation_shows_values_relevances_and_contributions():
    shown = example(4, image=False)
    names = ["a", "b", "c", "d"]
    values, relevances, contributions = table_explanation(shown, names, LIMITS).axes
    assert bar_values(values) == pytest.approx(shown.x)
    assert bar_values(relevances) == pytest.approx(shown.relevances)
    assert bar_values(contributions) == pytest.approx(shown.contributions)
    assert [label.get_text() for label in values.get_yticklabels()] == names
    assert all(axes.get_ylim() == (3.5, -0.5) for axes in (values, relevances, contributions))
    assert relevances.get_xlim() == (-3.0, 3.0)
    assert contributions.get_xlim() == (-2.5, 2.5)
    signs = [style.POSITIVE if value >= 0 else style.NEGATIVE for value in shown.relevances]
    assert bar_colours(relevances) == signs


def test_image_explanation():
    shown = example()
    figure = image_explanation(shown, LIMITS)
    image, *panels = figure.axes
    np.testing.assert_array_equal(image.images[0].get_array(), shown.x[0])
    expected = (shown.relevances, shown.concepts, shown.contributions)
    for axes, values, limit in zip(panels, expected, (3.0, 2.0, 2.5), strict=True):
        assert bar_values(axes) == pytest.approx(values)
        assert axes.get_xlim() == (-limit, limit)
    assert figure.get_suptitle() == "Predicted 7 (87.0 %)"


def test_no_prediction_is_certain():
    figure = image_explanation(replace(example(), probability=0.9996), LIMITS)
    assert figure.get_suptitle() == "Predicted 7 (more than 99.9 %)"


def test_a_wrong_prediction_says_so():
    shown = Example(RANDOM.random((1, 4, 4)), "1", "7", "1", 0.5, *RANDOM.normal(size=(4, 3)))
    figure = image_explanation(shown, LIMITS)
    assert figure.get_suptitle() == "Predicted 7 (50.0 %), but it is 1"


def test_contrastive_explanation():
    shown, strips = example(), RANDOM.random((5, 7, 1, 28, 28))
    paper, first, second = contrastive_explanation(shown, strips, LIMITS).axes
    image, *cells = paper.images
    np.testing.assert_array_equal(image.get_array(), shown.x[0])
    assert (first.get_title("left"), second.get_title("left")) == ("for 7", "for 9")
    assert first.get_xlim() == second.get_xlim() == (-4.0, 4.0)
    assert bar_values(first) == pytest.approx(shown.contributions)
    assert bar_values(second) == pytest.approx(shown.contrast_contributions)
    pictures = np.array([cell.get_array() for cell in cells]).reshape(5, 7, 28, 28)
    np.testing.assert_array_equal(pictures, strips[:, :, 0])
    # Every strip lies beside its bar, from left to right.
    for k in range(5):
        (_, bar_y) = first.transData.transform((0, k))
        row = [cell.get_window_extent() for cell in cells[7 * k : 7 * k + 7]]
        assert all(box.y0 < bar_y < box.y1 for box in row)
        assert [box.x0 for box in row] == sorted(box.x0 for box in row)


def test_images_on_a_canvas_are_square_upright_and_apart():
    images = RANDOM.random((2, 3, 1, 4, 4))
    drawn = prototypes(images).axes[0].images
    boxes = [image.get_window_extent() for image in drawn]
    assert all(box.width == pytest.approx(box.height) for box in boxes)
    for one, other in pairwise(boxes[:3]):
        assert one.x1 <= other.x0 + 1e-6
    assert boxes[0].y0 >= boxes[3].y1 - 1e-6  # the second concept is below the first
    assert all(image.origin == "upper" for image in drawn)
    left, right, bottom, top = drawn[0].get_extent()
    assert left < right and bottom > top  # in coordinates that count downwards


def test_prototypes():
    images = RANDOM.random((3, 4, 1, 5, 5))
    figure = prototypes(images)
    drawn = np.array([image.get_array() for image in figure.axes[0].images]).reshape(3, 4, 5, 5)
    np.testing.assert_array_equal(drawn, images[:, :, 0])
    assert {"h1", "h2", "h3", "note 0", "note 1", "note 2"} <= texts(figure)


def test_shares_of_prototypes_are_drawn_on_the_scale_of_chance():
    axes = prototypes(RANDOM.random((3, 4, 1, 5, 5))).axes[0]
    *_, scale = (line for line in axes.lines if len(line.get_xdata()) == 2)
    zero, one = scale.get_xdata()
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    shares = [(dot.get_xdata()[0] - zero) / (one - zero) for dot in dots]
    assert shares == pytest.approx([0, 0.5, 1])
    (band,) = axes.patches
    ends = (band.get_x() - zero) / (one - zero), band.get_width() / (one - zero)
    assert ends == pytest.approx((0.2, 0.2))
    # Each dot is beside its row of images.
    for row, dot in enumerate(dots):
        top, bottom = sorted(axes.images[4 * row].get_extent()[2:])
        assert top < dot.get_ydata()[0] < bottom


def test_correlations():
    matrix = correlations(3, constant=(2,))
    figure = correlation_heat_map(matrix, "T")
    image = figure.axes[0].images[0]
    np.testing.assert_array_equal(np.ma.filled(image.get_array(), np.nan), matrix)
    assert image.get_clim() == (-1, 1)
    shown = f"{matrix[0, 1]:.2f}".replace("-", "−")
    assert {"h1", "h2", "h3", shown, "–"} <= texts(figure)
    assert "0.00" in texts(correlation_heat_map(np.array([[1, -0.001], [-0.001, 1]]), "T"))


def test_images_in_colour_keep_their_colours():
    images = RANDOM.random((1, 1, 3, 5, 5))
    (axes,) = prototypes(images).axes
    np.testing.assert_allclose(axes.images[0].get_array(), images[0, 0].transpose(1, 2, 0))


def test_filters_have_zero_in_the_middle_of_the_scale():
    first, per_concept = RANDOM.normal(size=(2, 5, 5)), RANDOM.normal(size=(3, 2, 5, 5)) + 1
    images = filter_grid(first, per_concept, "T").axes[0].images
    assert len(images) == 2 + 3 * 2
    for image in images:
        low, high = image.get_clim()
        assert low == -high
    assert images[2].get_clim()[1] == pytest.approx(np.abs(per_concept[0]).max())
    np.testing.assert_array_equal(images[-1].get_array(), per_concept[2, 1])


def test_reconstructions_lie_below_their_inputs():
    rows = {name: RANDOM.random((3, 1, 4, 4)) for name in ("input", "model")}
    figure = image_rows(rows, "T")
    images = figure.axes[0].images
    drawn = np.array([image.get_array() for image in images]).reshape(2, 3, 4, 4)
    np.testing.assert_array_equal(drawn, np.stack([rows["input"], rows["model"]])[:, :, 0])
    assert [image.get_extent()[0] for image in images[:3]] == [
        image.get_extent()[0] for image in images[3:]
    ]


def test_diverging_colours_are_white_at_zero():
    assert style.DIVERGING(0.5) == pytest.approx((1, 1, 1, 1), abs=0.01)
    assert to_hex(style.DIVERGING(0.0)).upper() == style.NEGATIVE
    assert to_hex(style.DIVERGING(1.0)).upper() == style.POSITIVE


def test_neighbours_share_one_scale():
    images, relevances = neighbourhoods(2)
    figure = neighbour_relevances(images, relevances, "T")
    pictures, heat_maps = figure.axes[0].images[0::2], figure.axes[0].images[1::2]
    assert len(pictures) == 18
    limit = np.abs(relevances).max()
    assert {heat.get_clim() for heat in heat_maps} == {(-limit, limit)}
    for index, (picture, heat) in enumerate(zip(pictures, heat_maps, strict=True)):
        place = divmod(index, 9)
        np.testing.assert_array_equal(picture.get_array(), images[place][0])
        np.testing.assert_array_equal(heat.get_array()[:, 0], relevances[place])
        assert heat.get_extent()[3] == picture.get_extent()[2]  # right below it
    assert {"this", "its nearest neighbours", "random others"} <= texts(figure)


def test_neighbours_without_any_relevance_can_be_drawn():
    images, relevances = neighbourhoods(1)
    style.png(neighbour_relevances(images, 0 * relevances, "T"))


def test_collapsed_models_and_mostly_collapsed_means_are_hollow():
    table = cells()
    table["collapsed"] = [0, 0, 0, 0, 1, 0, 1, 1, 0]  # a third at λ = 0.01, two thirds at 1
    lines = accuracy_against_lambda(table, [], [], "T").axes[0].lines
    hollow = [line for line in lines if line.get_markerfacecolor() == "white"]
    drawn = {(x, y) for line in hollow for x, y in line.get_xydata().tolist()}
    models = table.loc[table.collapsed == 1, ["robust_reg", "accuracy"]].values.tolist()
    mean = table.loc[table.robust_reg == 1.0, "accuracy"].mean()
    assert drawn == {*map(tuple, models), (1.0, mean)}


def test_collapse_curves_mark_what_is_kept_and_the_best_constant():
    figure = collapse_curves(collapsing(), "best_validation_accuracy", 0.66, 2, "T")
    above, below = figure.axes
    for axes, kept in ((above, (20, 0.68)), (below, (20, 0.6))):
        dots = [line for line in axes.lines if line.get_marker() == "o"]
        assert [tuple(dot.get_xydata()[0]) for dot in dots] == [kept] * 3
        dark = [line for line in axes.lines if line.get_color() == style.BLUE]
        assert len(dark) == 2  # the highlighted seed's line and dot
    dashed = [line for line in above.lines if line.get_linestyle() == "--"]
    assert [set(line.get_ydata()) for line in dashed] == [{0.66}]


def test_training_curves():
    figure = training_curves(
        curves(), {"valid_accuracy": "accuracy", "train_robustness": "robustness"}, "T"
    )
    accuracy, robustness = figure.axes
    assert [len(axes.lines) for axes in figure.axes] == [4, 4]
    np.testing.assert_allclose(accuracy.lines[1].get_ydata(), [2.2, 2.3, 2.4])  # λ = 0.1, seed 2
    assert (accuracy.get_yscale(), robustness.get_yscale()) == ("linear", "log")
    # One colour per λ, whatever the seed.
    colours = [to_hex(line.get_color()) for line in accuracy.lines]
    assert colours[0] == colours[1] != colours[2] == colours[3]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["λ = 0.1", "λ = 1"]


def test_pretraining_has_a_panel_per_loss():
    figure = pretraining_curves(vae_curves(), "T")
    titles = [axes.get_title("left") for axes in figure.axes[:3]]
    assert titles == ["train loss", "valid loss", "valid kl"]
    assert [len(axes.lines) for axes in figure.axes[:3]] == [2, 2, 2]
    assert not figure.axes[3].axison


def test_claims_are_filled_where_they_are_judged():
    figure = claims_at_a_glance(some_verdicts(), "T", {})
    axes = figure.axes[0]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels[0] == "compas-accuracy  ✓"
    assert "".join(label[-1] for label in labels) == "✓≈✗○✓≈✗○○○"
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    hollow = [to_hex(dot.get_markerfacecolor()) == "#ffffff" for dot in dots]
    assert hollow == [label[-1] == "○" for label in labels]
    assert all(dot.get_xdata()[0] == 0.5 for dot in dots)


def test_every_published_number_stands_above_its_claim():
    axes = claims_at_a_glance(some_verdicts(), "T", {}).axes[0]
    drawn = [line.get_xydata()[0] for line in axes.lines if line.get_marker() in ("D", "^", "s")]
    rows = [claim for claim in CLAIMS if claim.numbers]
    expected = [
        ((number.low + number.high) / 2, row - 0.33)
        for row, claim in enumerate(rows)
        for number in claim.numbers
    ]
    np.testing.assert_allclose(drawn, expected)


@pytest.mark.parametrize(
    ("limit", "tick"), [(1.0, 1.0), (0.99, 0.5), (4.3, 2.0), (0.07, 0.05), (20, 20)]
)
def test_nice_tick(limit, tick):
    assert style.nice_tick(limit) == pytest.approx(tick)


def test_all_zero_values_still_have_an_axis():
    assert style.common_limit(np.zeros(3)) == 1.0
    assert style.common_limit(np.array([-2.0, 1.0])) == pytest.approx(2.1)


def test_the_band_of_ratios_is_from_found_to_certified():
    figure = certified_stability(ratios((0.1, 1.0)), "Title")
    lines = {line.get_label(): list(line.get_ydata()) for line in figure.axes[0].lines}
    # Means over three seeds.
    assert lines["certified, never exceeded"] == pytest.approx([4, 7])
    assert lines["largest found"] == pytest.approx([0.2 * 11 / 18, 0.2 * 37 / 180])
    assert lines["exact, at the example"] == pytest.approx([0.2 * 11 / 18, 0.2 * 37 / 180])


def test_seeds_whose_ratio_is_zero_count_in_the_mean():
    of_seeds = np.array([0.0, 0.3, 0.6])
    figure = certified_stability(ratios((0.1,), lower=of_seeds, exact=of_seeds), "Title")
    lines = {line.get_label(): line.get_ydata() for line in figure.axes[0].lines}
    assert lines["exact, at the example"] == pytest.approx([0.3])
    assert lines["largest found"] == pytest.approx([0.3])
    rings = next(line for line in figure.axes[0].lines if line.get_markerfacecolor() == "white")
    np.testing.assert_array_equal(rings.get_ydata(), [np.nan, 0.3, 0.6])


def test_heat_maps_lie_beside_their_images_on_one_scale():
    images = RANDOM.random((2, 1, 4, 4))
    maps = {name: RANDOM.uniform(-1, 1, (2, 4, 4)) for name in "abcdefghij"}
    drawn = image_heat_maps(images, maps, "T").axes[0].images
    assert len(drawn) == 2 * 2 + 2 * 10  # two bands, the images in each
    of_maps = [image for image in drawn if image.get_clim() == (-1, 1)]
    assert len(of_maps) == 20
    for index, values in enumerate(maps.values()):
        for row in range(2):
            np.testing.assert_array_equal(of_maps[2 * index + row].get_array(), values[row])
    first, second = (drawn[0].get_window_extent(), of_maps[0].get_window_extent())
    assert first.y0 == pytest.approx(second.y0) and first.x1 < second.x0


def test_table_heat_map_is_features_by_methods():
    maps = {"one": np.array([0.1, -0.2, 1.0]), "two": np.array([-1.0, 0.0, 0.5])}
    figure = table_heat_map(maps, ["x", "y", "z"], "T")
    (image,) = figure.axes[0].images
    np.testing.assert_array_equal(image.get_array(), np.stack(list(maps.values()), 1))
    assert image.get_clim() == (-1, 1)
    assert {"one", "two", "x", "y", "z"} <= texts(figure)


def test_methods_are_dots_with_intervals_and_names():
    table = scored()
    table.loc[5, "faithfulness"] = np.nan
    figure = faithfulness_against_stability(table, "T")
    paper, axes = figure.axes
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    assert len(dots) == 19
    ordered = table.dropna().sort_values("faithfulness", ascending=False)
    shown = [(dot.get_xdata()[0], dot.get_ydata()[0]) for dot in dots]
    np.testing.assert_allclose(shown, ordered[["lipschitz_local", "faithfulness"]])
    assert sum(to_hex(dot.get_markerfacecolor()) == "#ffffff" for dot in dots) == 2
    # Each name is tied to its dot.
    ties = [line for line in paper.lines if len(line.get_xdata()) == 3]
    for tie, dot in zip(ties, dots, strict=True):
        start = paper.transData.transform(tie.get_xydata()[0])
        np.testing.assert_allclose(start, axes.transData.transform(dot.get_xydata()[0]), atol=0.5)


def test_method_curves_have_a_row_per_family():
    figure = method_curves(scored_curves(), families(), "T")
    paper, *panels = figure.axes
    assert len(panels) == 4 * 4
    *others, last = panels[0].lines
    assert len(others) == 19
    np.testing.assert_allclose(last.get_ydata(), [0, 0.8, 1.6])  # the family's last, m16
    grey = [line for line in others if to_hex(line.get_color()) == style.FAINT]
    assert len(grey) == 15
    # The key has a line of the same look for each.
    assert len(paper.lines) == len(METHODS)
    assert paper.lines[4].get_color() == last.get_color()
    assert set(METHODS) <= texts(figure)
