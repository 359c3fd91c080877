"""What the notebook's cells show: pictures with alternative text, tables, and computed prose."""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from IPython.display import display
from matplotlib.figure import Figure

from pipeline.reporting.style import png


@dataclass(frozen=True)
class Picture:
    """A figure for the page.

    `name` of its file, `alt` for who cannot see it, `caption` below it; a `small` one takes half
    the width of the text where there is room.
    """

    figure: Figure
    name: str
    alt: str
    caption: str = ""
    small: bool = False

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9_-]+", self.name):
            raise ValueError(f"{self.name!r} is no file name: only a-z, 0-9, _ and -")

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, str], dict[str, Any]]:
        data = base64.b64encode(png(self.figure)).decode()
        about = {
            "name": self.name,
            "alt": self.alt,
            "caption": self.caption,
            "small": self.small,
        }
        return {"image/png": data, "text/plain": self.alt}, {"image/png": about}


@dataclass(frozen=True)
class Prose:
    """Markdown, computed from results."""

    markdown: str

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/markdown": self.markdown, "text/plain": self.markdown}


@dataclass(frozen=True)
class Table:
    """An HTML table: `header`, and `rows` of texts; what comes after a text's first line is small.

    `kind` is its CSS class; `marked` the indices of rows to stand out, `best` those of single cells
    (row, column). The first text of a row is its heading. Texts are escaped.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    kind: str = "numbers"
    marked: frozenset[int] = frozenset()
    best: frozenset[tuple[int, int]] = frozenset()

    def html(self) -> str:
        """The table, in a container that scrolls sideways where it must."""
        head = "".join(f'<th scope="col">{escape(text)}</th>' for text in self.header)
        body = "\n".join(self._row(index, row) for index, row in enumerate(self.rows))
        return (
            f'<div class="table {self.kind}" tabindex="0" role="group" aria-label="table">'
            f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table></div>"
        )

    def _row(self, index: int, row: Sequence[str]) -> str:
        first, *rest = row
        cells = "".join(
            f'<td data-label="{escape(label)}"{self._kind_of(index, column, text)}>'
            f"{_lines(text)}</td>"
            for column, (label, text) in enumerate(zip(self.header[1:], rest, strict=True), start=1)
        )
        attribute = ' class="marked"' if index in self.marked else ""
        return f'<tr{attribute}><th scope="row">{_lines(first)}</th>{cells}</tr>'

    def _kind_of(self, row: int, column: int, text: str) -> str:
        return ' class="best"' if (row, column) in self.best else _kind_of(text)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        lines = [" | ".join(row) for row in (self.header, *self.rows)]
        return {"text/html": self.html(), "text/plain": "\n".join(lines)}


@dataclass(frozen=True)
class Listing:
    """A long text that opens on demand."""

    summary: str
    text: str

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        html = (
            f"<details><summary>{escape(self.summary)}</summary>\n"
            f"<pre>{escape(self.text)}</pre></details>"
        )
        return {"text/html": html, "text/plain": f"{self.summary}\n{self.text}"}


@dataclass(frozen=True)
class Several:
    """Things to show one after another."""

    parts: Sequence[Any]

    def _ipython_display_(self) -> None:
        for part in self.parts:
            display(part)


_STATUS_CLASSES = {
    "reproduced": "yes",
    "not reproduced": "no",
    "not tested": "open",
    "left to the reader": "open",
    "supported": "yes",
    "not supported": "no",
    "undecided": "open",
}


def _lines(text: str) -> str:
    first, *rest = text.split("\n")
    return escape(first) + "".join(f"<small>{escape(line)}</small>" for line in rest)


def _kind_of(text: str) -> str:
    """A verdict's cell is coloured by its verdict, its first line."""
    status = _STATUS_CLASSES.get(text.split("\n")[0])
    return f' class="status {status}"' if status else ""
