import base64

import pytest
from bs4 import BeautifulSoup

from pipeline.reporting import style
from pipeline.reporting.display import (
    STATUSES,
    Html,
    Picture,
    Prose,
    Table,
    sort_key,
)


def test_picture_brings_its_alternative_text():
    figure = style.new_figure(1, "T")
    data, about = Picture(figure, "a_name", "what is seen", "caption").bundle()
    assert base64.b64decode(data["image/png"]) == style.png(figure)
    expected = {"name": "a_name", "alt": "what is seen", "caption": "caption", "small": False}
    assert about == {"image/png": expected | {"spots": []}}


def test_a_pictures_name_is_a_file_name():
    with pytest.raises(ValueError, match="no file name"):
        Picture(style.new_figure(1, "T"), "../x", "alt", "caption")


def test_every_picture_has_a_caption():
    with pytest.raises(ValueError, match="figure a_name has no caption"):
        Picture(style.new_figure(1, "T"), "a_name", "alt", "")


def test_picture_says_where_its_values_are():
    """The axes' lower left corner and middle, in per cent from the upper left."""
    figure = style.new_figure(2, "T")
    axes = figure.subplots()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    style.spot(axes, 0, 0, "corner")
    style.spot(axes, 0.5, 0.5, "middle")
    _, about = Picture(figure, "a_name", "alt", "caption").bundle()
    place = axes.get_position()
    (left, top, text), middle = about["image/png"]["spots"]
    assert text == "corner"
    assert (left, top) == pytest.approx((100 * place.x0, 100 * (1 - place.y0)), abs=0.1)
    assert middle[0] == pytest.approx(50 * (place.x0 + place.x1), abs=0.1)
    assert middle[2] == "middle"


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


@pytest.mark.parametrize("status", STATUSES)
def test_a_verdict_has_its_mark(status):
    html = Table(("c", "v"), [("claim", f"{status}\nwhy")], kind="claims").html()
    cell = BeautifulSoup(html, "html.parser").td
    assert cell.select_one(".mark").text == STATUSES[status][0]
    assert cell.find(string=True, recursive=False) == status


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("80.9 %\n78 to 83", 80.9),
        ("−1,234 points", -1234),
        ("0.27 ± 0.04", 0.27),
        ("(2.2 ± 1.1)·10⁻⁴", 2.2e-4),
        ("3.20·10⁻⁹", 3.2e-9),
        ("10⁻⁵", 1e-5),
        ("0.0001 to 1", 1e-4),
        ("–", None),
        ("λ = 3", None),
        ("01f2887373eb", None),
        ("", None),
    ],
)
def test_cells_are_sorted_by_the_number_they_start_with(text, number):
    assert sort_key(text) == (None if number is None else pytest.approx(number))
    cell = BeautifulSoup(Table(("a", "b"), [("x", text)]).html(), "html.parser").td
    assert ("data-order" in cell.attrs) == (number is not None)


def test_rows_must_fit_the_header():
    with pytest.raises(ValueError, match=r"shorter|longer"):
        Table(("a", "b"), [("1", "2", "3")]).html()


def test_what_needs_the_script_says_so():
    assert Html("<b>", "b").bundle() == ({"text/html": "<b>", "text/plain": "b"}, {})
    _, about = Html("<b>", "b", needs_script=True).bundle()
    assert about == {"text/html": {"needs_script": True}}


def test_prose_and_tables_say_the_same_without_markup():
    assert Prose("*one*").bundle() == ({"text/markdown": "*one*", "text/plain": "*one*"}, {})
    table = Table(("x", "y"), [("1", "2")])
    assert table.bundle() == ({"text/html": table.html(), "text/plain": "x | y\n1 | 2"}, {})
