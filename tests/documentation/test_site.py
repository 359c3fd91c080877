"""The documentation site is built without a warning, and needs nothing from the network."""

import re
import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    flags = ["--quiet", "--fail-on-warning", "--keep-going", "--nitpicky", "--conf-dir", "docs"]
    command = [sys.executable, "-m", "sphinx", *flags, ".", str(folder)]
    ran = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return folder


def test_it_has_every_page(site):
    pages = [page.relative_to(REPOSITORY) for page in (REPOSITORY / "docs").glob("*.md")]
    assert len(pages) > 10
    for page in pages:
        assert (site / page).with_suffix(".html").is_file()


def test_formulas_are_drawn(site):
    concepts = (site / "docs/concepts.html").read_text(encoding="utf-8")
    assert concepts.count('<math xmlns="http://www.w3.org/1998/Math/MathML" display="block"') > 8
    assert "$" not in re.sub(
        r"<[^>]*>", "", concepts.split("<article", 1)[1].split("</article", 1)[0]
    )


def test_docstrings_are_there(site):
    api = (site / "docs/api.html").read_text(encoding="utf-8")
    assert 'id="pipeline.training.robustness.robustness_loss"' in api
    assert "Frobenius norm" in api


def test_it_loads_nothing_from_the_network(site):
    for page in (site / "index.html", site / "README.html", site / "docs/concepts.html"):
        loaded = re.findall(
            r"<(?:script|img)[^>]* src=\"([^\"]+)|<link[^>]* href=\"([^\"]+)", page.read_text()
        )
        assert not [one for pair in loaded for one in pair if "//" in one], page
