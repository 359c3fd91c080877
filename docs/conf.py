"""Settings of the documentation site: `make docs` builds it from README.md and docs/.

The source folder is the repository's root, so that links work as in a Git host's view of the files.
"""



project = "Self-explaining neural networks, reproduced"
author = "the SENN reproducibility pipeline's authors"
copyright = f"2026, {author}"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_external_toc",
]
include_patterns = ["README.md", "CONTRIBUTING.md", "docs/*.md"]
exclude_patterns = ["**/.*", "data", "models", "reports", "_site"]

external_toc_path = "docs/_toc.yml"
myst_enable_extensions = ["dollarmath", "html_image"]
myst_fence_as_directive = ["math"]  # GitHub's notation for a displayed formula
myst_heading_anchors = 4

html_theme = "furo"
html_title = project
html_copy_source = False
html_show_sourcelink = False
