import base64

import pytest
from bs4 import BeautifulSoup
from IPython.core.interactiveshell import InteractiveShell

from pipeline.reporting import style
from pipeline.reporting.display import Listing, Picture, Prose, Several, Table


def test_picture_brings_its_alternative_text():
    figure = style.new_figure(1, "T")
    data, about = Picture(figure, "a_name", "what is seen", "caption")._repr_mimebundle_()
    assert base64.b64decode(data["image/png"]) == style.png(figure)
    expected = {"name": "a_name", "alt": "what is seen", "caption": "caption", "small": False}
    assert about == {"image/png": expected}


def test_a_pictures_name_is_a_file_name():
    with pytest.raises(ValueError, match="no file name"):
        Picture(style.new_figure(1, "T"), "../x", "alt")


def test_table():
    table = Table(("λ", "a<b"), [("0.1", "1 & 2"), ("1", "3")], marked=frozenset({1}))
    soup = BeautifulSoup(table.html(), "html.parser")
    assert [th.text for th in soup.thead.find_all("th")] == ["λ", "a<b"]
    first, second = soup.tbody.find_all("tr")
    assert [first.th.text, first.td.text, first.td["data-label"]] == ["0.1", "1 & 2", "a<b"]
    assert (first.get("class"), second.get("class")) == (None, ["marked"])
    assert soup.div["class"] == ["table", "numbers"]


def test_verdicts_stand_out_and_further_lines_are_small():
    table = Table(("c", "v"), [("claim\nid\n<remark>", "not reproduced")], kind="claims")
    row = BeautifulSoup(table.html(), "html.parser").tbody.tr
    assert [small.text for small in row.th.find_all("small")] == ["id", "<remark>"]
    assert row.td["class"] == ["status", "no"]


def test_rows_must_fit_the_header():
    with pytest.raises(ValueError, match=r"shorter|longer"):
        Table(("a", "b"), [("1", "2", "3")]).html()


def test_listing_is_escaped():
    html = Listing("all <of> it", "a: <b>")._repr_mimebundle_()["text/html"]
    soup = BeautifulSoup(html, "html.parser")
    assert (soup.summary.text, soup.pre.text) == ("all <of> it", "a: <b>")


def test_several_are_displayed_one_by_one(monkeypatch):
    shown = []
    monkeypatch.setattr("pipeline.reporting.display.display", shown.append)
    parts = [Prose("one"), Prose("two")]
    formatter = InteractiveShell.instance().display_formatter
    assert formatter.format(Several(parts)) == ({}, {})  # it shows itself
    assert shown == parts
    assert formatter.format(parts[0])[0] == {"text/markdown": "one", "text/plain": "one"}
