from bs4 import BeautifulSoup

from pipeline.reporting.page import finished, slug

FIGURE = '<figure id="figure-{0}"><img><figcaption>About {0}</figcaption></figure>'
TABLE = (
    '<div class="table numbers" tabindex="0" role="group" aria-label="table"><table>\n'
    "<caption>{}</caption></table></div>"
)
PAGE = "\n".join(
    [
        '<nav aria-label="Contents"></nav>',
        '<p>See <a href="#figure-b">Figure</a> and <a href="#figure-b">this</a>.</p>',
        "<h2>What λ &amp; ξ buy</h2>",
        TABLE.format(""),
        "<h3>SENN on compas (<code>compas_senn</code>)</h3>",
        FIGURE.format("a"),
        TABLE.format(""),
        TABLE.format("Named"),
        "<h2>Next</h2>",
        "<h3>SENN on compas (<code>compas_senn</code>)</h3>",
        FIGURE.format("b"),
        "<h2>Next</h2>",
    ]
)


def soup() -> BeautifulSoup:
    return BeautifulSoup(finished(PAGE), "html.parser")


def test_slugs():
    assert slug("What λ &amp; ξ buy") == "what-λ--ξ-buy"
    assert slug("By <code>batch</code>: why, and why not?") == "by-batch-why-and-why-not"


def test_sections_have_ids_and_are_in_the_contents():
    ids = [heading["id"] for heading in soup().find_all(["h2", "h3"])]
    assert ids == [
        "what-λ--ξ-buy",
        "what-λ--ξ-buy-compas_senn",
        "next",
        "next-compas_senn",
        "next-2",
    ]
    links = [(link["href"], link.text) for link in soup().nav.find_all("a")]
    assert links == [("#what-λ--ξ-buy", "What λ & ξ buy"), ("#next", "Next"), ("#next-2", "Next")]


def test_a_question_needs_no_colon():
    page = finished(f"<h2>Why?</h2>\n<h3>SENN</h3>\n{TABLE.format('')}")
    assert BeautifulSoup(page, "html.parser").caption.text == "Table 1. Why? SENN"


def test_figures_and_tables_are_numbered():
    captions = [caption.text for caption in soup().find_all("figcaption")]
    assert captions == ["Figure 1. About a", "Figure 2. About b"]
    tables = [(holder["id"], holder.caption.text) for holder in soup().select(".table")]
    assert tables == [
        ("table-what-λ--ξ-buy", "Table 1. What λ & ξ buy"),
        ("table-what-λ--ξ-buy-compas_senn", "Table 2. What λ & ξ buy: SENN on compas"),
        ("table-what-λ--ξ-buy-compas_senn-2", "Table 3. Named"),
    ]
    assert [holder["aria-label"] for holder in soup().select(".table")] == [
        "Table 1",
        "Table 2",
        "Table 3",
    ]


def test_references_have_the_number_of_what_they_refer_to():
    assert [link.text for link in soup().p.find_all("a")] == ["Figure 2", "this"]


def test_everything_has_a_link_to_itself():
    for tag in soup().find_all(["h2", "h3", "figure"]):
        assert tag.select_one("a.here")["href"] == f"#{tag['id']}"
    for holder in soup().select(".table"):
        assert holder.select_one("caption a.here")["href"] == f"#{holder['id']}"
