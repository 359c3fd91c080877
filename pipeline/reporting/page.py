"""The executed notebook as one self-contained HTML page, and its figures as files."""

import base64
import copy
import re
from collections.abc import Iterator
from html import escape
from pathlib import Path

from nbconvert import HTMLExporter
from nbformat import NotebookNode

_TEMPLATES = Path(__file__).parent
_WIDTH = 450  # pixels, of a linked figure: as wide as figures are drawn, 100 pixels to the inch


def to_html(notebook: NotebookNode) -> str:
    """One page: no code, no prompts, own style, a table of contents, nothing from the network."""
    exporter = HTMLExporter(
        template_name="page_template",
        extra_template_basedirs=[str(_TEMPLATES)],
        exclude_input=True,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        exclude_anchor_links=True,
    )
    page, _ = exporter.from_notebook_node(notebook, {"title": _title(notebook)})
    page = re.sub(r"\n{3,}", "\n\n", page)
    return _with_contents(page)


def figures(notebook: NotebookNode) -> dict[str, bytes]:
    """The PNG figures of `notebook`, by name.

    Raises
    ------
    ValueError
        If two figures have the same name.
    """
    by_name: dict[str, bytes] = {}
    for output, about in _pictures(notebook):
        if about["name"] in by_name:
            raise ValueError(f"two figures are called {about['name']}")
        by_name[about["name"]] = base64.b64decode(output.data["image/png"])
    return by_name


def with_links(notebook: NotebookNode, folder: str) -> NotebookNode:
    """A copy of `notebook` that shows its figures from their files in `folder`, beside it."""
    linked = copy.deepcopy(notebook)
    for output, about in _pictures(linked):
        source, alt = escape(f"{folder}/{about['name']}.png"), escape(about["alt"])
        caption = f"<figcaption>{escape(about['caption'])}</figcaption>" if about["caption"] else ""
        image = f'<img src="{source}" alt="{alt}" width="{_WIDTH}">'
        output.data = NotebookNode(
            {"text/html": f"<figure>{image}{caption}</figure>", "text/plain": about["alt"]}
        )
        output.metadata = NotebookNode()
    return linked


def _pictures(notebook: NotebookNode) -> Iterator[tuple[NotebookNode, NotebookNode]]:
    """Every output that is a figure, and what `Picture` says about it."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            about = output.get("metadata", {}).get("image/png", {})
            if "name" in about:
                yield output, about


def _title(notebook: NotebookNode) -> str:
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and (match := re.match(r"# (.+)", cell.source)):
            return match[1].strip()
    raise ValueError("the notebook has no cell that starts with a title, `# …`")


def _with_contents(page: str) -> str:
    """Give every section an id, and fill the navigation with links to them."""
    links: list[str] = []

    def anchored(match: re.Match[str]) -> str:
        name = f"section-{len(links) + 1}"
        links.append(f'<li><a href="#{name}">{match[1]}</a></li>')
        return f'<h2 id="{name}">{match[1]}</h2>'

    page = re.sub(r"<h2>(.*?)</h2>", anchored, page)
    contents = (
        '<nav aria-label="Contents"><details open><summary>Contents</summary>\n<ol>\n'
        + "\n".join(links)
        + "\n</ol>\n</details></nav>"
    )
    return page.replace('<nav aria-label="Contents"></nav>', contents, 1)
