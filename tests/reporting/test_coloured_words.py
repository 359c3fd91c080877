import re

import numpy as np
import pytest

from pipeline.reporting import style
from pipeline.reporting.style import coloured_words
from pipeline.sharing.terminal import words_in_terminal

_SPAN = re.compile(
    r'<span style="background:rgba\((\d+),(\d+),(\d+),([\d.]+)\)" title="([^"]*)">([^<]*)</span>'
)
_ANSI = re.compile(r"\x1b\[38;5;16;48;5;(\d+)m(\w+)\x1b\[0m")
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


def of_256(number):
    """A colour of the cube of xterm's 256 colours."""
    levels = (0, 95, 135, 175, 215, 255)
    return tuple(levels[(number - 16) // step % 6] for step in (36, 6, 1))


def test_words_in_a_terminal():
    words = [f"w{i}" for i in range(9)]
    values = np.array([0.0, 0.2, 0.9, 2.0, 9.0, -0.2, -0.9, -2.0, -9.0])
    text = words_in_terminal(words, values, 2.0, 80)
    assert _ANSI.sub(r"\2", text) == " ".join(words)
    grounds = {word: of_256(int(number)) for number, word in _ANSI.findall(text)}
    assert set(grounds) == {"w2", "w3", "w4", "w6", "w7", "w8"}  # the others are too weak
    lights = {word: luminance(ground) for word, ground in grounds.items()}
    assert lights["w2"] > lights["w3"] and lights["w6"] > lights["w7"]
    assert (grounds["w4"], grounds["w8"]) == (grounds["w3"], grounds["w7"])
    for word, (red, _, blue) in grounds.items():
        assert (blue > red) == (word < "w5")
        assert (lights[word] + 0.05) / 0.05 >= 4.5  # of black on it


def test_lines_in_a_terminal():
    words = ["ab", "cde", "f", "ghijklmn", "o"]
    lines = words_in_terminal(words, np.ones(5), 1.0, 6).split("\n")
    assert [_ANSI.sub(r"\2", line) for line in lines] == ["ab cde", "f", "ghijklmn", "o"]
