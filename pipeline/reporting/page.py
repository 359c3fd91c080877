"""The executed notebook as one self-contained HTML page, and its figures as files."""

import base64
import re
from pathlib import Path

from nbconvert import HTMLExporter
from nbformat import NotebookNode

_TEMPLATES = Path(__file__).parent


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
    found: dict[str, bytes] = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            about = output.get("metadata", {}).get("image/png", {})
            if "name" not in about:
                continue
            if about["name"] in found:
                raise ValueError(f"two figures are called {about['name']}")
            found[about["name"]] = base64.b64decode(output.data["image/png"])
    return found


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
