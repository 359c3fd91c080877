"""What cells of the notebook display: pictures with alternative text, tables, computed prose."""

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

    `name` is that of its file, `alt` describes it to those who cannot see it, `caption` stands
    below. Two `small` figures share the width of the text where there is room.
    """

    figure: Figure
    name: str
    alt: str
    caption: str = ""
    small: bool = False

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9_-]+", self.name):
            raise ValueError(f"{self.name!r} is no file name: use only a-z, 0-9, _ and -")

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, str], dict[str, Any]]:
        data = base64.b64encode(png(self.figure)).decode()
        about = {key: value for key, value in vars(self).items() if key != "figure"}
        return {"image/png": data, "text/plain": self.alt}, {"image/png": about}


@dataclass(frozen=True)
class Prose:
    """Markdown, computed from results."""

    markdown: str

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/markdown": self.markdown, "text/plain": self.markdown}


@dataclass(frozen=True)
class Table:
    """An HTML table of a `header` and `rows` of texts, which are escaped.

    The first text of a row is its heading; all but the first line of a text are small. `kind` is a
    CSS class. Rows whose index is in `marked` are bold, as are cells (row, column) in `best`. A
    cell that starts with a verdict has the verdict's colour.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    kind: str = "numbers"
    marked: frozenset[int] = frozenset()
    best: frozenset[tuple[int, int]] = frozenset()

    def html(self) -> str:
        """The table, in a container that scrolls sideways if it must."""
        head = "".join(f'<th scope="col">{escape(text)}</th>' for text in self.header)
        body = "\n".join(self._row(index, row) for index, row in enumerate(self.rows))
        return (
            f'<div class="table {self.kind}" tabindex="0" role="group" aria-label="table">'
            f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table></div>"
        )

    def _row(self, index: int, row: Sequence[str]) -> str:
        first, *rest = row
        cells = ""
        for column, (label, text) in enumerate(zip(self.header[1:], rest, strict=True), start=1):
            status = _STATUS_CLASSES.get(text.partition("\n")[0])
            kind = "best" if (index, column) in self.best else status and f"status {status}"
            cells += f'<td data-label="{escape(label)}"{_class(kind)}>{_lines(text)}</td>'
        marked = _class("marked" if index in self.marked else None)
        return f'<tr{marked}><th scope="row">{_lines(first)}</th>{cells}</tr>'

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
    """Parts to display one after another."""

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
    "not determinable": "open",
}


def _lines(text: str) -> str:
    first, *rest = text.split("\n")
    return escape(first) + "".join(f"<small>{escape(line)}</small>" for line in rest)


def _class(name: str | None) -> str:
    return f' class="{name}"' if name else ""
