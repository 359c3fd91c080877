"""Words on a ground of blue or vermilion: what speaks for a class, and what against it."""

from collections.abc import Sequence
from html import escape

import numpy as np
from matplotlib.colors import to_rgb

from pipeline.reporting import style, wording

_STRONGEST = 0.7  # opacity; the text keeps a contrast of 4.5 (WCAG 2.2) on light and dark pages


def coloured_words(words: Sequence[str], values: np.ndarray, limit: float) -> str:
    """`words` as HTML, the larger the value of a word, the more opaque its ground.

    Positive is blue and negative vermilion; the value is the word's title.

    Parameters
    ----------
    words : escaped here, and separated by spaces.
    values : (words,), one for each.
    limit : > 0; the absolute value from which on a ground is as opaque as any, such as
        `style.common_limit` of all values that are shown together.
    """
    return " ".join(_coloured(*each) for each in zip(words, values / limit, values, strict=True))


def _coloured(word: str, strength: float, value: float) -> str:
    colour = style.POSITIVE if strength >= 0 else style.NEGATIVE
    red, green, blue = (round(255 * part) for part in to_rgb(colour))
    opacity = f"{_STRONGEST * min(abs(strength), 1):.2f}"
    ground = f"background:rgba({red},{green},{blue},{opacity})"
    return f'<span style="{ground}" title="{wording.significant(value, 2)}">{escape(word)}</span>'
