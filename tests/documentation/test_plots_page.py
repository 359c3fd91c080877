"""`dvc plots` without a network: Vega is in the page that DVC fills in."""

import configparser
import hashlib
import re

import pytest
from dvc_render.html import HTML
from dvc_render.vega import VegaRenderer

from documentation.plots_page import LIBRARIES, PAGE
from tests.conftest import REPOSITORY


@pytest.fixture(scope="module")
def page():
    return (REPOSITORY / PAGE).read_text(encoding="utf-8")


def test_its_scripts_are_the_published_ones(page):
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    found = [hashlib.sha256(script.encode()).hexdigest() for script in scripts]
    assert found == [library.sha256 for library in LIBRARIES]


def test_filled_in_by_dvc_it_loads_nothing(page):
    document = HTML(page, refresh_seconds=5)
    document.with_scripts(VegaRenderer.SCRIPTS).with_element("<p>the plot</p>")
    filled = re.sub("<script>.*?</script>", "", document.embed(), flags=re.DOTALL)
    assert "<p>the plot</p>" in filled
    assert 'content="5"' in filled
    assert "<script" not in filled
    assert "//" not in filled


def test_dvc_takes_it(page):
    config = configparser.ConfigParser()
    config.read(REPOSITORY / ".dvc/config")
    assert REPOSITORY / ".dvc" / config["plots"]["html_template"] == REPOSITORY / PAGE
