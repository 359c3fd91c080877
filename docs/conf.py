"""Settings of the documentation site, which `make docs` builds of README.md, docs/ and others.

The source folder is the repository's root, so that links work as in a Git host's view of the files.
"""

import re
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

project = "Self-explaining neural networks, reproduced"
author = "the SENN reproducibility pipeline's authors"
copyright = f"2026, {author}"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_external_toc"]
include_patterns = ["README.md", "CONTRIBUTING.md", "docs/*.md", "benchmarks/results/*.md"]
exclude_patterns = [".*", "_site", "data", "models"]
external_toc_path = "docs/_toc.yml"

myst_enable_extensions = ["dollarmath", "html_image"]
myst_fence_as_directive = ["math"]  # a Git host's notation for a displayed formula
myst_heading_anchors = 4

default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
napoleon_use_rtype = False
nitpick_ignore_regex = [("py:.*", ".*")]  # types of other projects

html_theme = "furo"
html_title = project
html_copy_source = False
html_show_sourcelink = False
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"  # browsers draw it: no script, no network

_ITEM = re.compile(r"(\s*)([\w, ]+) : (.+)")
_MARKUP = re.compile(r"\|(?=\S)|\*(?=\w)(?![^*]*\w\*)|(?<=\w)_(?!\w)")


def _inline(self: HTML5Translator, node: nodes.math) -> None:
    self.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def _displayed(self: HTML5Translator, node: nodes.math_block) -> None:
    self.body.append(tex2mathml(node.astext(), as_block=True))
    raise nodes.SkipNode


def _plain(text: str) -> str:
    """`text`, with what reStructuredText would take for markup escaped."""
    parts = text.split("`")  # every second one is code
    parts[::2] = [_MARKUP.sub(r"\\\g<0>", part) for part in parts[::2]]
    return "`".join(parts)


def _describe(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Where ``name : text`` says what a parameter is, napoleon would take the text for its type."""
    section, found = "Parameters", []
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if following.strip().startswith("----"):
            section = line.strip()
        item = _ITEM.fullmatch(line) if section == "Parameters" else None
        plain = _plain(line)
        found += [f"{item[1]}{item[2]} :", f"{item[1]}    {_plain(item[3])}"] if item else [plain]
    lines[:] = found


def _open(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Files that a page links to, such as the report, open in the browser."""
    context["body"] = context.get("body", "").replace(' download=""', "")


def _folders(app: Sphinx, doctree: nodes.document) -> None:
    """Links to folders, which a Git host shows and a site does not have, become plain text."""
    here = Path(app.srcdir, app.env.docname).parent
    for link in list(doctree.findall(addnodes.pending_xref)):
        if (here / link["reftarget"]).is_dir():
            link.replace_self(link.children)


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.add_html_math_renderer("mathml", (_inline, None), (_displayed, None))
    app.connect("autodoc-process-docstring", _describe, priority=100)
    app.connect("doctree-read", _folders)
    app.connect("html-page-context", _open)
