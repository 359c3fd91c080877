import base64

import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from pipeline.reporting import style
from pipeline.reporting.display import Html, Picture, Table
from pipeline.reporting.explorer import controls_of
from pipeline.reporting.notebook import figures, to_html, with_links


def displayed(thing) -> dict:
    data, metadata = thing.bundle()
    return new_output("display_data", data=data, metadata=metadata)


def picture(name="first", caption="a <caption>", **kwargs) -> Picture:
    return Picture(style.new_figure(1, "T"), name, 'a "quoted" <alt>', caption, **kwargs)


def notebook(*outputs):
    return new_notebook(
        cells=[
            new_markdown_cell("# The title\n\nSome *words*."),
            new_markdown_cell("## One & only\n\nText."),
            new_code_cell("secret_code()", execution_count=1, outputs=list(outputs)),
            new_markdown_cell("## Two"),
            new_code_cell("more_code()", execution_count=2),
        ]
    )


@pytest.fixture
def soup():
    markdown = new_output("display_data", data={"text/markdown": "### Inner\n\n**7** (`code`)"})
    table = displayed(Table(("a",), [("1",)]))
    outputs = [markdown, displayed(picture(small=True)), table, markdown]
    return BeautifulSoup(to_html(notebook(*outputs)), "html.parser")


def test_no_code_and_no_prompts(soup):
    assert "secret_code" not in str(soup)
    assert "In [" not in soup.text and "Out[" not in soup.text


def test_markdown_and_outputs_are_rendered(soup):
    assert soup.title.text == soup.h1.text == "The title"
    assert soup.strong.text == "7"
    assert [cell.text for cell in soup.table.find_all("th")] == ["a", "1"]


def test_pictures_have_alternative_text_and_caption(soup):
    (image,) = soup.find_all("img")
    assert image["alt"] == 'a "quoted" <alt>'
    content = base64.b64decode(image["src"].removeprefix("data:image/png;base64,"))
    assert content == style.png(picture().figure)
    figure = image.find_parent("figure")
    assert (figure["class"], figure["id"]) == (["small"], "figure-first")
    assert figure.figcaption.text == "Figure 1. a <caption>"


def test_contents_lead_to_the_sections(soup):
    links = {link.text: link["href"] for link in soup.nav.find_all("a")}
    assert len(soup.find_all("table")) == len(soup.select(".table caption b")) == 1
    assert list(links) == ["One & only", "Two"]
    for text, target in links.items():
        (section,) = soup.select(target)
        assert section.text == text
    ids = [tag["id"] for tag in soup.find_all(id=True)]
    assert len(ids) == len(set(ids))


def test_nothing_comes_from_elsewhere(soup):
    assert not soup.find_all(["script", "iframe"], src=True)
    for tag in soup.find_all(True):
        for attribute in ("src", "href", "srcset", "action", "poster"):
            value = tag.get(attribute, "#")
            assert value.startswith(("#", "data:")), (tag.name, attribute, value[:60])
    css = soup.style.text
    assert "url(" not in css and "@import" not in css
    script = soup.script.string
    assert not any(word in script for word in ("fetch", "import", "XMLHttp", "eval(", "innerHTML"))


def test_the_page_says_how_it_wants_to_be_shown(soup):
    assert soup.html["lang"] == "en"
    viewport = soup.find("meta", attrs={"name": "viewport"})
    assert "width=device-width" in viewport["content"]


def test_figures_by_name():
    book = notebook(displayed(picture("first")), displayed(picture("second")))
    assert list(figures(book)) == ["first", "second"]
    assert figures(book)["first"] == style.png(picture().figure)


def test_two_figures_of_one_name():
    book = notebook(displayed(picture("same")), displayed(picture("same")))
    with pytest.raises(ValueError, match="two figures are called same"):
        figures(book)


def test_links_replace_pictures_in_a_copy():
    before = notebook(displayed(picture()), displayed(Table(("a",), [("1",)])))
    after = with_links(before, "pictures")
    assert list(figures(before)) == ["first"] and figures(after) == {}
    linked, table = after.cells[2].outputs
    soup = BeautifulSoup(linked.data["text/html"], "html.parser")
    assert (soup.img["src"], soup.img["alt"]) == ("pictures/first.png", 'a "quoted" <alt>')
    assert soup.figcaption.text == "a <caption>"
    assert table == before.cells[2].outputs[1]


def test_what_needs_the_script_stays_out_of_the_copy():
    text = "Open report.html to explore predictions."
    before = notebook(displayed(Html(controls_of([]), text, needs_script=True)))
    (output,) = with_links(before, "pictures").cells[2].outputs
    assert output.data == {"text/plain": text}
    data = '<script type="application/json"'
    assert data in to_html(before) and data not in to_html(with_links(before, "pictures"))


def test_a_page_needs_a_title():
    with pytest.raises(ValueError, match="title"):
        to_html(new_notebook(cells=[new_markdown_cell("no title")]))
