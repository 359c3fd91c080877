"""A page with the words of a text, coloured by what they say: HTML that needs nothing else."""

from html import escape

from pipeline.core.errors import PipelineError
from pipeline.reporting.style import coloured_words
from pipeline.sharing.explanation import Explanation, Said
from pipeline.sharing.terminal import percent, prediction, signed

_STYLE = """
:root { color-scheme: light dark; --paper: #ffffff; --ink: #1b1b1b; --soft: #5f5f5f; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #171717; --ink: #e4e4e2; --soft: #a5a5a2; }
}
body { margin: 0; background: var(--paper); color: var(--ink); font: 1.0625rem/1.6 system-ui, sans-serif; }
main { max-width: 44rem; margin: 0 auto; padding: 1rem 1.125rem 3rem; overflow-wrap: break-word; }
h1 { font-size: 1.6rem; line-height: 1.25; }
h2 { margin: 1.8rem 0 .4rem; font-size: 1.05rem; }
h2 small, .about, .notes { color: var(--soft); font-size: .875rem; font-weight: 400; }
.words { line-height: 1.9; }
.words span { padding: .1em .2em; border-radius: .2em; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
"""  # noqa: E501


def page(explanation: Explanation) -> str:
    """The page of a text's `explanation`.

    Raises
    ------
    PipelineError
        If it is not of a text.
    """
    if explanation.kind != "texts":
        raise PipelineError(f"{explanation.model}: coloured words are for texts; `plot` draws this")
    share = percent(explanation.probabilities[explanation.target])
    title = f"Why {explanation.target} ({share})"
    remarks = [*explanation.notes, *(f"Careful: {warning}" for warning in explanation.warnings)]
    if explanation.caveat:
        remarks.append(explanation.caveat.replace("*", ""))
    body = (
        f"<h1>{escape(title)}</h1>",
        f"<p>{escape(prediction(explanation))}</p>",
        f'<p class="about">{escape(explanation.model)}. Blue words speak for the class, vermilion '
        "words against it, the stronger the colour, the more; point at a word for the number.</p>",
        *(_section(explanation.feature_names, part) for part in explanation.said_by_words()),
        *(f'<p class="notes">{escape(remark)}</p>' for remark in remarks),
    )
    head = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
    )
    return head + "<body>\n<main>\n" + "\n".join(body) + "\n</main>\n</body>\n</html>\n"


def _section(words: tuple[str, ...], part: Said) -> str:
    total = f"<small>{escape(part.sum_is)} {signed(part.values.sum())}</small>"
    heading = f"<h2>{escape(part.title[0].upper() + part.title[1:])} {total}</h2>"
    return f'{heading}\n<p class="words">{coloured_words(words, part.values, part.limit)}</p>'
