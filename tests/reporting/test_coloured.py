import re

import numpy as np
import pytest

from pipeline.reporting import style
from pipeline.reporting.coloured import coloured_words

_SPAN = re.compile(
    r'<span style="background:rgba\((\d+),(\d+),(\d+),([\d.]+)\)" title="([^"]*)">([^<]*)</span>'
)
PAGES = [
    ("#ffffff", "#1b1b1b"),
    ("#171717", "#e4e4e2"),
]  # paper and ink of the page, by day and by night


def parts(html):
    """Colour, opacity, title and word of every span, of which all of `html` consists."""
    found = _SPAN.findall(html)
    assert len(found) == len(html.split("> <"))
    return [((int(r), int(g), int(b)), float(a), title, word) for r, g, b, a, title, word in found]


def rgb(colour):
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))


def luminance(colour):
    """WCAG 2.2, relative luminance."""
    shares = np.array(colour) / 255
    linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_words_by_their_values():
    html = coloured_words(["oil", "the", "bank", "a"], np.array([2.0, 0.0, -1.0, -4]), 2.0)
    colours, opacities, titles, words = zip(*parts(html), strict=True)
    assert colours[0] == rgb(style.BLUE) and colours[2] == colours[3] == rgb(style.VERMILION)
    assert opacities == pytest.approx((0.7, 0, 0.35, 0.7))  # 4 is beyond the limit
    assert titles == ("2.0", "0", "−1.0", "−4.0")
    assert words == ("oil", "the", "bank", "a")


def test_words_are_no_markup():
    html = coloured_words(['<b class="x">&'], np.ones(1), 1.0)
    assert parts(html)[0][-1] == "&lt;b class=&quot;x&quot;&gt;&amp;"


@pytest.mark.parametrize(("paper", "ink"), PAGES)
@pytest.mark.parametrize("sign", [1, -1])
def test_the_strongest_is_legible_on_every_page(paper, ink, sign):
    ((colour, opacity, *_),) = parts(coloured_words(["word"], np.array([9.0 * sign]), 1.0))
    ground = [
        opacity * over + (1 - opacity) * p for over, p in zip(colour, rgb(paper), strict=True)
    ]
    dark, light = sorted((luminance(ground), luminance(rgb(ink))))
    assert (light + 0.05) / (dark + 0.05) >= 4.5
