"""Give the report's headings, figures and tables numbers, ids and links, and list its contents."""

import re
from collections import Counter
from html import unescape

_PARTS = re.compile(
    r"<h(?P<level>[23])>(?P<heading>.*?)</h(?P=level)>"
    r'|<figure id="(?P<figure>[^"]+)"'
    r"|<figcaption>"
    r'|<div class="table (?P<kind>[^"]*)"(?P<about>[^>]*) aria-label="table"><table>\n'
    r"<caption>(?P<caption>.*?)</caption>"
)
_REFERENCE = re.compile(r'<a href="#(?P<id>(?:figure|table)-[^"]+)">(?:Figure|Table)</a>')


def finished(page: str) -> str:
    """`page` with ids and links, numbered figures and tables, and a filled ``<nav>``.

    A link to ``#figure-NAME`` or ``#table-NAME`` whose text is "Figure" or "Table" gets the number.
    """
    anchors = _Anchors()
    page = _PARTS.sub(anchors.mark, page)
    page = _REFERENCE.sub(anchors.numbered, page)
    links = "\n".join(f'<li><a href="#{id}">{text}</a></li>' for id, text in anchors.sections)
    contents = f"<details open><summary>Contents</summary>\n<ol>\n{links}\n</ol>\n</details>"
    empty = '<nav aria-label="Contents"></nav>'
    return page.replace(empty, f'<nav aria-label="Contents">{contents}</nav>', 1)


def slug(heading: str) -> str:
    """The id of a heading, as Git hosts make it: ``What λ buys`` → ``what-λ-buys``."""
    words = unescape(re.sub(r"<.*?>", "", heading)).lower()
    return re.sub(r"[^\w\- ]", "", words).replace(" ", "-")


class _Anchors:
    """What has been seen of a page, from its top.

    The id of a heading says what it says, within a section also which experiment it is about; that
    of a figure has its name; that of a table is its heading's, numbered if that has several.
    """

    def __init__(self) -> None:
        self.sections: list[tuple[str, str]] = []  # id and heading
        self._labels: dict[str, str] = {}  # of figures and tables, by id
        self._ids: Counter[str] = Counter()
        self._numbers: Counter[str] = Counter()
        self._place, self._titles = "top", ["", ""]
        self._figure = ""

    def mark(self, match: re.Match[str]) -> str:
        """The replacement of what `_PARTS` matched."""
        if match["level"]:
            return self._heading(match["level"], match["heading"])
        if match["figure"]:
            self._figure = match["figure"]
            return match[0]
        if match["kind"] is None:
            return f"<figcaption>{self._numbered('Figure', self._figure)}"
        return self._table(match)

    def numbered(self, match: re.Match[str]) -> str:
        """A reference with the number of what it refers to."""
        return f'<a href="#{match["id"]}">{self._labels[match["id"]]}</a>'

    def _heading(self, level: str, heading: str) -> str:
        if level == "2":
            self._place, self._titles = self._unique(slug(heading)), [heading, ""]
            self.sections.append((self._place, heading))
            name = self._place
        else:
            code = re.search(r"<code>(.*?)</code>", heading)
            section = self.sections[-1][0] if self.sections else "top"
            self._place = name = self._unique(f"{section}-{code[1] if code else slug(heading)}")
            self._titles[1] = re.sub(r" \(<code>.*?</code>\)", "", heading)
        return f'<h{level} id="{name}">{heading}{_link(name, "section")}</h{level}>'

    def _table(self, match: re.Match[str]) -> str:
        name = self._unique(f"table-{self._place}")
        caption = match["caption"] or ": ".join(filter(None, self._titles)).replace("?: ", "? ")
        return (
            f'<div class="table {match["kind"]}" id="{name}"{match["about"]} '
            f'aria-label="Table {self._numbers["Table"] + 1}"><table>\n'
            f"<caption>{self._numbered('Table', name)}{caption}</caption>"
        )

    def _numbered(self, kind: str, name: str) -> str:
        """The next number, and a link to what has it."""
        self._numbers[kind] += 1
        self._labels[name] = f"{kind} {self._numbers[kind]}"
        return f"{_link(name, kind.lower())}<b>{self._labels[name]}.</b> "

    def _unique(self, name: str) -> str:
        self._ids[name] += 1
        return name if self._ids[name] == 1 else f"{name}-{self._ids[name]}"


def _link(name: str, kind: str) -> str:
    """A permanent link, drawn as ¶."""
    return f'<a class="here" href="#{name}" aria-label="Link to this {kind}"></a>'
