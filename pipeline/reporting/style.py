"""How figures look: one width, one font, few colours, and the same bytes for the same data.

Figures are 4.5 inches wide, so that a 9 point font stays legible on a phone that shows them 360
pixels wide; those shown in pairs on wide screens are 3.5 inches wide. The colours are those of
Okabe and Ito (2008), safe for colour-blind readers. Positive is blue and negative vermilion,
everywhere.
"""

import io
import textwrap
from collections.abc import Callable, Sequence
from functools import wraps
from html import escape
from typing import Any, ParamSpec

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import LinearSegmentedColormap, Normalize, to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Annotation

from pipeline.claims import wording
from pipeline.metrics.intervals import Interval

WIDTH, SMALL_WIDTH = 4.5, 3.5  # inches
_TITLE_CHARACTERS, _TITLE_LINE = 11.5, 0.17  # per inch of width; inches
DPI = 200
_SPOT = "spot"
_CONTRAST = 4.5
_STRONGEST = 0.7  # opacity; the text keeps a contrast of 4.5 (WCAG 2.2) on light and dark pages

INK, GREY, FAINT = "#1b1b1b", "#6f6f6f", "#d9d9d9"
BLUE, VERMILION, GREEN = "#0072B2", "#D55E00", "#009E73"
LIGHT_BLUE = "#99c7e0"
FURTHER = ("#CC79A7", "#E69F00", "#56B4E9")
POSITIVE, NEGATIVE = BLUE, VERMILION
SOURCES = {"review": VERMILION, "paper": GREEN, "ETH": FURTHER[0]}  # of published numbers

DIVERGING = LinearSegmentedColormap.from_list("diverging", [NEGATIVE, "#ffffff", POSITIVE])

_LOOK: dict[Any, Any] = {
    "figure.dpi": DPI,
    "figure.constrained_layout.use": True,
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same on every machine
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "figure.titlesize": 10,
    "figure.titleweight": "bold",
    "text.color": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "legend.handlelength": 1.6,
    "lines.linewidth": 1.4,
    "lines.markersize": 4,
    "image.interpolation": "nearest",
}

P = ParamSpec("P")


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Make a function draw in this style, whatever the caller's rcParams are."""

    @wraps(draw)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with mpl.rc_context({**mpl.rcParamsDefault, **_LOOK}):
            return draw(*args, **kwargs)

    return wrapper


def new_figure(height: float, title: str, width: float = WIDTH) -> Figure:
    """An empty figure of `width` by `height` inches with its title wrapped on the left.

    Made without pyplot: no global state, nothing to close.
    """
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    figure.suptitle(textwrap.fill(title, int(_TITLE_CHARACTERS * width)), x=0.005, ha="left")
    return figure


def readable(colour: str) -> str:
    """`colour`, dark enough for text on white: a contrast of at least 4.5 (WCAG 2.2, 1.4.3)."""
    red, green, blue = to_rgb(colour)
    while contrast((red, green, blue)) < _CONTRAST:
        red, green, blue = (0.97 * part for part in (red, green, blue))
    return to_hex((red, green, blue))


def contrast(colour: Any) -> float:
    """The contrast ratio of a colour and white, from 1 to 21 (WCAG 2.2)."""
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in to_rgb(colour)]
    return 1.05 / (float(np.dot([0.2126, 0.7152, 0.0722], linear)) + 0.05)


def spot(axes: Axes, x: float, y: float, text: str) -> None:
    """Say `text` of the point (x, y) of `axes` to whoever points at it on the page."""
    axes.annotate(text, (x, y), gid=_SPOT, visible=False)


def spots(figure: Figure) -> list[list[float | str]]:
    """What `spot` said of points of `figure`, which has been laid out: left, top, text.

    In per cent of its width and height from the upper left.
    """
    found: list[list[float | str]] = []
    for axes in figure.axes:
        for note in axes.texts:
            if note.get_gid() == _SPOT:
                assert isinstance(note, Annotation)
                place = axes.transData + figure.transFigure.inverted()
                left, up = (round(100 * float(share), 1) for share in place.transform(note.xy))
                found.append([left, round(100 - up, 1), note.get_text()])
    return found


def canvas(height: float, title: str) -> tuple[Figure, Axes]:
    """A figure with `height` inches below its title, covered by bare axes to place things on.

    Coordinates are inches from the left and, downwards, from below the title. So rows of images
    line up with what is beside them, which no automatic layout guarantees.
    """
    figure = new_figure(height, title)
    figure.set_layout_engine("none")
    whole = height + _title_height(figure)
    figure.set_figheight(whole)
    figure.suptitle(figure.get_suptitle(), x=0.005, y=0.995, ha="left", va="top")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, figure.get_figwidth()), ylim=(height, height - whole), autoscale_on=False)
    axes.set_axis_off()
    return figure, axes


def axes_at(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Separate axes on a `canvas`, at a place in its coordinates."""
    whole_width, whole_height = figure.get_size_inches()
    bottom = whole_height - _title_height(figure) - top - height
    return figure.add_axes(
        (left / whole_width, bottom / whole_height, width / whole_width, height / whole_height)
    )


def _title_height(figure: Figure) -> float:
    return _TITLE_LINE * (1 + figure.get_suptitle().count("\n")) + 0.06


def png(figure: Figure) -> bytes:
    """`figure`, of `new_figure`, as PNG, the same bytes every time: without date or version."""
    with mpl.rc_context({**mpl.rcParamsDefault, **_LOOK}):
        buffer = io.BytesIO()
        # Draws once, where `savefig` draws twice.
        figure.set_dpi(DPI)
        FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})
    return buffer.getvalue()


def show_image(
    axes: Axes, pixels: np.ndarray, place: tuple[float, float, float] | None = None
) -> None:
    """Draw pixels in [0, 1]: (1, height, width) with 0 white and 1 black, (3, …) in colour.

    Fills `axes`, or a square of a `canvas` at `place`: left, top, side.
    """
    look: dict[str, Any] = {"cmap": "gray_r", "vmin": 0, "vmax": 1}
    if place is not None:
        look |= {"extent": square(*place), "aspect": "auto"}
    axes.imshow(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0).clip(0, 1), **look)


def square(left: float, top: float, side: float) -> tuple[float, float, float, float]:
    """The extent, for ``imshow``, of a square on a `canvas`."""
    return left, left + side, top + side, top


def bare(axes: Axes) -> None:
    """Remove ticks and frame."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def label_row(paper: Axes, right: float, middle: float, text: str, size: float) -> None:
    """Name a row of a `canvas`, to the left of `right`."""
    paper.text(right, middle, text, ha="right", va="center", fontsize=size)


def name_rows(
    axes: Axes, names: Sequence[str], places: Sequence[float] | None = None, size: float = 8
) -> None:
    """Name the rows on the y axis, at 0, 1, … or at `places`, without tick marks."""
    axes.set_yticks(range(len(names)) if places is None else places, names)
    axes.tick_params(axis="y", length=0, labelsize=size)


def name_concepts(axes: Axes, count: int) -> None:
    """Label rows of bars h1, h2, …."""
    name_rows(axes, [f"h{index + 1}" for index in range(count)])


def percent_ticks(axis: Axis) -> None:
    """Write the shares on an axis in per cent."""
    axis.set_major_formatter(lambda value, _: f"{100 * value:g} %")


def number_ticks(axis: Axis) -> None:
    """Write the numbers on an axis as short as possible."""
    axis.set_major_formatter(lambda value, _: wording.number(value))


def intervals(
    axes: Axes, x: Sequence[float] | np.ndarray, at: Sequence[Interval], **look: Any
) -> None:
    """A line through the means at each x, with their 95 % intervals as bars."""
    bars = [[here.mean - here.low for here in at], [here.high - here.mean for here in at]]
    axes.errorbar(x, [here.mean for here in at], yerr=bars, **look)


def colour_bar(
    figure: Figure, norm: Normalize, place: tuple[float, float, float, float]
) -> Colorbar:
    """A horizontal bar of the diverging colours, at a place on a `canvas` as for `axes_at`."""
    bar = figure.colorbar(
        ScalarMappable(norm, DIVERGING), cax=axes_at(figure, *place), orientation="horizontal"
    )
    bar.outline.set_visible(False)
    return bar


def signed_bars(axes: Axes, values: np.ndarray, limit: float) -> None:
    """Horizontal bars from the top, positive blue, negative vermilion, in ± `limit`."""
    positions = np.arange(len(values))
    colours = [POSITIVE if value >= 0 else NEGATIVE for value in values]
    axes.barh(positions, values, height=0.62, color=colours, linewidth=0)
    axes.axvline(0, color=GREY, linewidth=0.6)
    axes.set_xlim(-limit, limit)
    axes.set_ylim(len(values) - 0.5, -0.5)
    tick = nice_tick(0.8 * limit)
    axes.set_xticks([-tick, tick])  # 0 has its line
    number_ticks(axes.xaxis)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)


def coloured_words(words: Sequence[str], values: np.ndarray, limit: float) -> str:
    """`words` as HTML, the larger the value of a word, the more opaque its ground.

    Positive is blue and negative vermilion; the value is the word's title.

    Parameters
    ----------
    words : escaped here, and separated by spaces.
    values : (words,), one for each.
    limit : > 0; the absolute value from which on a ground is as opaque as any, such as
        `common_limit` of all values that are shown together.
    """
    return " ".join(_coloured(*each) for each in zip(words, values / limit, values, strict=True))


def _coloured(word: str, strength: float, value: float) -> str:
    colour = POSITIVE if strength >= 0 else NEGATIVE
    red, green, blue = (round(255 * part) for part in to_rgb(colour))
    opacity = f"{_STRONGEST * min(abs(strength), 1):.2f}"
    ground = f"background:rgba({red},{green},{blue},{opacity})"
    return f'<span style="{ground}" title="{wording.significant(value, 2)}">{escape(word)}</span>'


def nice_tick(limit: float) -> float:
    """The largest of 1, 2, 5 × 10ⁿ that is at most `limit` > 0."""
    magnitude = 10 ** np.floor(np.log10(limit) + 1e-9)
    return float(max(m * magnitude for m in (1, 2, 5) if m * magnitude <= limit * 1.000001))


def common_limit(values: np.ndarray) -> float:
    """An axis limit that fits all of `values`, positive or negative; 1 if all are 0."""
    most = float(np.abs(values).max(initial=0.0))
    return 1.05 * most if most > 0 else 1.0


def lambda_axis(axes: Axes, lambdas: Sequence[float]) -> None:
    """A logarithmic λ axis with a tick at each of `lambdas`; 0 is one decade below the others."""
    positive = [value for value in lambdas if value > 0]
    if positive and 0 in lambdas:
        axes.set_xscale("symlog", linthresh=min(positive), linscale=1)
        axes.set_xlim(left=-0.15 * min(positive), right=max(positive) * 1.6)
    elif positive:
        axes.set_xscale("log")
        axes.set_xlim(min(positive) / 1.6, max(positive) * 1.6)
    axes.set_xticks(sorted(lambdas), [wording.lambda_label(v) for v in sorted(lambdas)])
    axes.minorticks_off()
    axes.set_xlabel("strength of the robustness loss, λ")
