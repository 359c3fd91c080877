"""What a browser makes of the report: choosing, sorting, filtering, on a screen, a phone, paper.

They drive an installed Chromium; where there is none they are skipped, and say so.
"""

import io
import json
import shutil
from dataclasses import replace

import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from playwright.sync_api import sync_playwright
from pypdf import PdfReader

from pipeline.claims.published import CLAIMS
from pipeline.claims.verdicts import as_table, from_table
from pipeline.metrics.scores import SCORES
from pipeline.reporting import claims, collapse, explorer, method_scores, style
from pipeline.reporting.display import Picture, Table
from pipeline.reporting.notebook import to_html
from tests.conftest import REPOSITORY

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium on PATH (Debian: apt-get install chromium)"
)

QUIET = ["--disable-quic", "--no-first-run", "--disable-background-networking"]
SCREEN, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
each_size = pytest.mark.parametrize("size", [SCREEN, PHONE], ids=["screen", "phone"])
CLIPPED = """() => [...document.querySelectorAll(".table")]
    .filter((table) => table.scrollWidth > table.clientWidth + 1).map((table) => table.id)"""


@pytest.fixture(scope="module")
def html(results) -> str:
    """A page with everything that the script touches."""
    judged = from_table(results.verdicts)
    untested = [verdict for verdict in judged if verdict.status == "not tested" and verdict.here]
    full = as_table([replace(verdict, status="reproduced") for verdict in untested])
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(vars(results), "full_verdicts", full)
        (of_claims,) = [part for part in claims.claims(results) if isinstance(part, Table)]
    figure = style.new_figure(2, "A figure")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1])
    style.spot(axes, 0.5, 0.5, "in the middle")
    scores = results.experiments["mnist_senn"].methods
    small = Table(("name", "number"), [("b", "−1.5"), ("a", "(2.2 ± 1.1)·10⁻⁴"), ("c", "–")])
    parts = {
        "Claims": of_claims,
        "Explained": next(explorer.explorer(results)),
        "Scores": method_scores._scores(scores, True, list(SCORES.values())),
        "Small": small,
        "Collapse": collapse.collapse(results)[3],
        "Drawn": Picture(figure, "drawn", "alt", "A caption."),
    }
    cells = [new_markdown_cell("# The title")]
    for heading, part in parts.items():
        data, about = part.bundle()
        output = new_output("display_data", data=data, metadata=about)
        cells += [new_markdown_cell(f"## {heading}"), new_code_cell("", outputs=[output])]
    return to_html(new_notebook(cells=cells))


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield launched
        launched.close()


@pytest.fixture
def open_page(browser, html, tmp_path):
    """``open_page(size)``: the page in a window, which must raise no error and load nothing."""
    wrong, contexts = [], []

    def opened(size=SCREEN, content=html, **options):
        path = tmp_path / "report.html"
        path.write_text(content, encoding="utf-8")
        context = browser.new_context(viewport=size, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(error.message))
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        elsewhere = ("file:", "data:")
        page.on("request", lambda r: None if r.url.startswith(elsewhere) else wrong.append(r.url))
        page.goto(path.as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not wrong


@pytest.fixture(scope="module")
def embedded(html) -> list[dict]:
    soup = BeautifulSoup(html, "html.parser")
    return json.loads(soup.find("script", id="explorer-data").string)


@each_size
def test_every_choice_shows_its_numbers(open_page, embedded, size):
    page = open_page(size)
    place = page.locator(".chosen")
    for e, one in enumerate(embedded):
        page.select_option("select[name=experiment]", index=e)
        for at, seed, example in ((0, 0, 0), (1, 1, 3), (1, 0, 9)):
            page.select_option("select[name=robust_reg]", index=at)
            page.select_option("select[name=seed]", index=seed)
            page.select_option("select[name=example]", index=example)
            cell = one["cells"][at][seed][example]
            assert place.locator(".reason").inner_text() == cell["reason"]
            assert cell["sum"] in place.inner_text()
            rows = place.locator(".bars tbody tr")
            assert rows.count() == len(one["concepts"])
            keys = ("concepts", "relevances", "contributions", "changes")
            for row, name in enumerate(one["concepts"]):
                texts = rows.nth(row).locator("th, td").all_inner_texts()
                assert texts[0] == name
                for text, key in zip(texts[1:], keys, strict=True):
                    scale, half = (100, 0.05) if key == "changes" else (1, 0.005)
                    shown = float(text.replace("−", "-"))
                    assert shown == pytest.approx(scale * cell[key][row], abs=half + 1e-9)
            along = place.locator(".along td")
            said = [cells[seed][example]["says"] for cells in one["cells"]]
            assert [text.split("\n")[0] for text in along.all_inner_texts()] == said
            assert along.nth(at).get_attribute("aria-current") == "true"
            image = place.locator("img")
            assert image.count() == ("image" in one["examples"][example])


def test_bars_point_where_the_number_says(open_page, embedded):
    page = open_page()
    numbers = embedded[0]["cells"][0][0][0]["relevances"]
    bars = page.locator(".bars tbody tr td:nth-child(3) .bar")
    for row, number in enumerate(numbers):
        whole, fill = (bars.nth(row).bounding_box(), bars.nth(row).locator("i").bounding_box())
        middle = whole["x"] + whole["width"] / 2
        centre = fill["x"] + fill["width"] / 2
        assert (centre - middle) * number > 0
    widths = [bars.nth(row).locator("i").bounding_box()["width"] for row in range(len(numbers))]
    ratio = widths[0] / widths[1]
    assert ratio == pytest.approx(abs(numbers[0] / numbers[1]), rel=0.05)


def test_choices_start_at_the_headline(open_page, embedded):
    page = open_page()
    for e, one in enumerate(embedded):
        page.select_option("select[name=experiment]", index=e)
        chosen = page.eval_on_selector("select[name=robust_reg]", "(s) => s.selectedIndex")
        assert chosen == one["headline"]


def column(page, table: str, index: int) -> list[str]:
    cells = page.locator(f"{table} tbody tr:not([hidden])").locator("th, td")
    count = page.locator(f"{table} thead th").count()
    return [text.split("\n")[0] for text in cells.all_inner_texts()[index::count]]


@each_size
def test_columns_are_sorted_by_their_numbers(open_page, size):
    page = open_page(size)
    names, numbers = (page.locator("#table-small thead button").nth(i) for i in (0, 1))
    numbers.click()
    assert column(page, "#table-small", 0) == ["b", "a", "c"]  # -1.5, 0.00022, missing
    assert page.locator("#table-small th").nth(1).get_attribute("aria-sort") == "ascending"
    numbers.click()
    assert column(page, "#table-small", 0) == ["a", "b", "c"]  # what is missing stays last
    names.click()
    assert column(page, "#table-small", 0) == ["a", "b", "c"]
    assert page.locator("#table-small [aria-sort]").count() == 1
    faithfulness = page.locator("#table-scores thead button").nth(1)
    faithfulness.focus()
    page.keyboard.press("Enter")  # as by a click
    shown = [float(text.split()[0]) for text in column(page, "#table-scores", 1)]
    assert shown == sorted(shown) and len(set(shown)) > 5


@each_size
def test_rows_are_filtered_by_their_text(open_page, results, size):
    page = open_page(size)
    table = page.locator("#table-scores")
    before = table.locator("tbody tr").count()
    field = page.locator("#scores ~ * .filter input, #scores ~ .outputs input").first
    field.fill("lrp")
    rows = table.locator("tbody tr:visible")
    labels = results.experiments["mnist_senn"].methods["label"]
    assert rows.count() == labels.str.contains("LRP").sum() > 0
    assert page.locator("output").nth(1).inner_text() == f"{rows.count()} of {before} rows"
    field.fill("")
    assert rows.count() == before
    assert page.locator("#table-small").locator("xpath=preceding-sibling::p").count() == 0


@each_size
def test_verdicts_show_their_marks(open_page, size):
    page = open_page(size)
    marks = page.locator(".claims .mark")
    assert marks.count() == len(CLAIMS)
    for mark in marks.all():
        assert mark.is_visible() and mark.inner_text() in "✓✗≈○"
    # On a phone the name of the column stands to the left, 6 rem wide, and not over the mark.
    left = (
        marks.first.bounding_box()["x"]
        - page.locator(".claims td.status").first.bounding_box()["x"]
    )
    assert left >= (96 if size == PHONE else 0)


@each_size
def test_no_page_is_wider_than_its_window(open_page, size):
    page = open_page(size)
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    clipped = page.evaluate(CLIPPED)
    assert clipped == [] if size == SCREEN else "table-claims" not in clipped


def test_contents_fold_on_a_phone_alone(open_page):
    assert not open_page(PHONE).locator("nav ol").is_visible()
    assert open_page(SCREEN).locator("nav ol").is_visible()


def test_the_current_section_is_marked(open_page):
    page = open_page()
    marked = "(name) => document.querySelector('nav [aria-current]')?.innerText === name"
    for name in ("Scores", "Claims", "Explained"):
        page.locator("nav a", has_text=name).click()
        page.wait_for_function(marked, arg=name)
        assert page.locator("nav [aria-current]").count() == 1


def test_values_appear_under_the_pointer(open_page):
    page = open_page()
    spot = page.locator(".spot")
    image, point = page.locator("figure img").bounding_box(), spot.bounding_box()
    assert image["x"] < point["x"] < image["x"] + image["width"]
    shown = "(spot) => getComputedStyle(spot, '::after').content"
    assert spot.evaluate(shown) == "none"
    spot.hover()
    assert spot.evaluate(shown) == '"in the middle"'


@each_size
def test_without_a_script_it_reads_as_paper(open_page, size):
    page = open_page(size, java_script_enabled=False)
    assert not page.locator(".explorer").is_visible()
    assert page.locator(".filter").count() == 0
    assert page.locator("nav ol").is_visible()
    assert page.locator(".claims tbody tr").count() == len(CLAIMS)


@pytest.fixture(scope="module")
def report() -> str:
    """The committed report, with all its figures and tables."""
    return (REPOSITORY / "reports/report.html").read_text(encoding="utf-8")


@each_size
def test_the_report_fits_its_window(open_page, report, size):
    page = open_page(size, report)
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    if size == SCREEN:
        assert page.evaluate(CLIPPED) == []


def test_the_report_on_paper(open_page, report):
    page = open_page({"width": 695, "height": 1000}, report)  # A4 within its margins
    page.emulate_media(media="print")
    assert page.evaluate(CLIPPED) == []
    paper = PdfReader(io.BytesIO(page.pdf(prefer_css_page_size=True)))
    assert 1 < len(paper.pages) <= 30
    width, height = paper.pages[0].mediabox[2:]
    assert (round(width / 72 * 25.4), round(height / 72 * 25.4)) == (210, 297)
    for number, sheet in enumerate(paper.pages, start=1):
        assert len(sheet.extract_text()) > 100, f"page {number} is blank"
