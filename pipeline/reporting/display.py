"""What sections of the report consist of: pictures with alternative text, tables, computed prose.

`pipeline.reporting.page` gives them numbers, ids and links.
"""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, TypeAlias

from matplotlib.figure import Figure

from pipeline.reporting.style import png, spots

Bundle: TypeAlias = tuple[dict[str, str], dict[str, Any]]
"""A part as IPython displays it: its data by MIME type, and metadata."""


@dataclass(frozen=True)
class Picture:
    """A figure for the page.

    `name` is that of its file, `alt` describes it to those who cannot see it, `caption` stands
    below. Two `small` figures share the width of the text where there is room. What its drawing
    said of points (`style.spot`) appears where the pointer is.
    """

    figure: Figure
    name: str
    alt: str
    caption: str
    small: bool = False

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9_-]+", self.name):
            raise ValueError(f"{self.name!r} is no file name: use only a-z, 0-9, _ and -")
        if not self.caption:
            raise ValueError(f"figure {self.name} has no caption")

    def bundle(self) -> Bundle:
        """As IPython displays it."""
        data = base64.b64encode(png(self.figure)).decode()
        about = {key: value for key, value in vars(self).items() if key != "figure"}
        # Known once the figure is laid out.
        about["spots"] = spots(self.figure)
        return {"image/png": data, "text/plain": self.alt}, {"image/png": about}


@dataclass(frozen=True)
class Prose:
    """Markdown, computed from results."""

    markdown: str

    def bundle(self) -> Bundle:
        """As IPython displays it."""
        return {"text/markdown": self.markdown, "text/plain": self.markdown}, {}


@dataclass(frozen=True)
class Table:
    """An HTML table of a `header` and `rows` of texts, which are escaped.

    The first text of a row is its heading; all but the first line of a text are small. `kind` is a
    CSS class. Rows whose index is in `marked` are bold, as are cells (row, column) in `best`. A
    cell that starts with a verdict has its mark and colour. Without a `caption`, the page names
    the table by the headings above it.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    kind: str = "numbers"
    marked: frozenset[int] = frozenset()
    best: frozenset[tuple[int, int]] = frozenset()
    caption: str = ""

    def html(self) -> str:
        """The table, in a container that scrolls sideways if it must."""
        head = "".join(f'<th scope="col">{escape(text)}</th>' for text in self.header)
        body = "\n".join(self._row(index, row) for index, row in enumerate(self.rows))
        return (
            f'<div class="table {self.kind}" tabindex="0" role="group" aria-label="table">'
            f"<table>\n<caption>{escape(self.caption)}</caption>\n<thead><tr>{head}</tr></thead>\n"
            f"<tbody>\n{body}\n</tbody>\n</table></div>"
        )

    def _row(self, index: int, row: Sequence[str]) -> str:
        first, *rest = row
        cells = ""
        for column, (label, text) in enumerate(zip(self.header[1:], rest, strict=True), start=1):
            mark, colour = STATUSES.get(text.partition("\n")[0], ("", ""))
            kind = "best" if (index, column) in self.best else colour and f"status {colour}"
            shown = _lines(text)
            if mark:
                shown = f'<span class="mark" aria-hidden="true">{mark}</span>{shown}'
            about = f'data-label="{escape(label)}"{_order(text)}{_class(kind)}'
            cells += f"<td {about}>{shown}</td>"
        marked = _class("marked" if index in self.marked else "")
        return f'<tr{marked}><th scope="row"{_order(first)}>{_lines(first)}</th>{cells}</tr>'

    def bundle(self) -> Bundle:
        """As IPython displays it."""
        lines = [" | ".join(row) for row in (self.header, *self.rows)]
        return {"text/html": self.html(), "text/plain": "\n".join(lines)}, {}


@dataclass(frozen=True)
class Html:
    """Markup of its own, whose maker has escaped all texts; `text` says the same without.

    If it `needs_script`, the page's JavaScript, report.ipynb shows `text` alone.
    """

    html: str
    text: str
    needs_script: bool = False

    def bundle(self) -> Bundle:
        """As IPython displays it."""
        about = {"text/html": {"needs_script": True}} if self.needs_script else {}
        return {"text/html": self.html, "text/plain": self.text}, about


Part: TypeAlias = Picture | Prose | Table | Html


STATUSES = {
    "reproduced": ("✓", "yes"),
    "not reproduced": ("✗", "no"),
    "undecided": ("≈", "open"),
    "not tested": ("○", "open"),
    "left to the reader": ("○", "open"),
    "supported": ("✓", "yes"),
    "not supported": ("✗", "no"),
    "not determinable": ("○", "open"),
}
"""Every verdict's mark, in tables and figures, and the CSS class that colours it."""

_SUPERSCRIPT = "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"
_NUMBER = re.compile(r"[+−-]?[\d,]*\.?\d+\b")  # no digest such as 12ab34
_POWER = re.compile(rf"(?:\(?([+−-]?[\d.]+)(?: ± [\d.]+\))?·)?10([{_SUPERSCRIPT}]+)")
_PLAIN = str.maketrans("−" + _SUPERSCRIPT, "--0123456789", ",")


def sort_key(text: str) -> float | None:
    """The number that a cell starts with, by which its column is sorted; None without one.

    ``−1,234 points`` is -1234, ``(2.2 ± 1.1)·10⁻⁴`` is 0.00022.
    """
    if power := _POWER.match(text):
        return float("{}e{}".format(*power.groups(default="1")).translate(_PLAIN))
    number = _NUMBER.match(text)
    return float(number[0].translate(_PLAIN)) if number else None


def _order(text: str) -> str:
    key = sort_key(text)
    return "" if key is None else f' data-order="{key:g}"'


def _lines(text: str) -> str:
    first, *rest = escape(text).replace("± ", "±\u00a0").split("\n")
    return first + "".join(f"<small>{line}</small>" for line in rest)


def _class(name: str) -> str:
    return f' class="{name}"' if name else ""
