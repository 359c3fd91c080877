"""An explanation as text for a terminal."""

import textwrap
from collections.abc import Sequence

import numpy as np

from pipeline.sharing.explanation import Explanation, Said

_WIDTH, _BAR = 88, 12  # characters: of sentences, and of the longest bar on either side
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_SHADES = " ░▒▓█"
_STRONGEST = 12  # words of a text that are listed
_BLUES, _VERMILIONS = (153, 117, 75, 33), (223, 216, 209, 202)  # of 256 colours


def text(explanation: Explanation, coloured: bool = False) -> str:
    """Prediction, concepts, relevances and contributions, attributions and remarks.

    Of a text the strongest words are listed, or all are `coloured` by escape sequences.
    """
    remarks = [_filled("- ", note) for note in explanation.notes]
    remarks += [_filled("! ", f"Careful: {warning}") for warning in explanation.warnings]
    blocks = (
        explanation.model,
        _in_blocks(explanation.input.mean(0)) if explanation.kind == "images" else "",
        prediction(explanation),
        *(
            _words(explanation, coloured)
            if explanation.kind == "texts"
            else (_contributions(explanation), _attributions(explanation))
        ),
        "\n".join(remarks),
        _filled("", explanation.caveat.replace("*", "")),
    )
    return "\n\n".join(filter(None, blocks))


def prediction(explanation: Explanation) -> str:
    """The most probable classes, in a line."""
    ranked = sorted(explanation.probabilities.items(), key=lambda item: -item[1])
    shown = [f"{name}, {percent(share)}" for name, share in ranked[:4] if share >= 5e-4]
    if len(shown) < len(ranked):
        shown.append("others less" if len(shown) > 1 else "others below 0.1 %")
    return f"Prediction: {shown[0]}   ({'; '.join(shown[1:])})"


def _contributions(explanation: Explanation) -> str:
    """Concepts, relevances and contributions for `target`, largest first, and their sum."""
    target, contributions = explanation.target, explanation.contributions
    units = [(f"{value:.4g}",) for value in explanation.values]
    has_values = explanation.concepts_are_features
    most = np.abs(contributions).max()
    rows = [
        (
            explanation.concept_names[k],
            *(units[k] if has_values else ()),
            signed(explanation.concepts[k]),
            signed(explanation.relevances[k]),
            signed(contributions[k]),
            _bar(contributions[k], most),
        )
        for k in _strongest_first(contributions)
    ]
    value = ("value",) if has_values else ()
    heading = (f"why {target}", *value, "concept", "relevance", "contribution", "")
    total = signed(contributions.sum())
    rows.append((f"sum = logit of {target}", *("" for _ in value), "", "", total, ""))
    return _table([heading, *rows]) + f"\n{_from_sum_to_probability(explanation)}"


def _from_sum_to_probability(explanation: Explanation) -> str:
    target, contrast, logits = explanation.target, explanation.contrast, explanation.logits
    share = percent(explanation.probabilities[target])
    logit, other = logits[target], logits[contrast]
    rival = f"The logit of {contrast} is {_plain(other)}"
    if len(logits) == 2:
        return f"{rival}: 1 / (1 + exp({_plain(other - logit)})) = {share} for {target}."
    return f"{rival}. Softmax of all {len(logits)}: {share} for {target}."


def _attributions(explanation: Explanation) -> str:
    """What another method says; SENN's own explanations are in the other table."""
    if explanation.is_own:
        return ""
    values, label = explanation.attributions, f"{explanation.label} ({explanation.method})"
    heading = f"{label}, of the logit of {explanation.target}"
    if explanation.speaks_of == "inputs" and explanation.kind == "images":
        return f"{heading}: sum {signed(values.sum())}; the figure has the map."
    names = explanation.named
    most = np.abs(values).max()
    rows = [(names[i], signed(values[i]), _bar(values[i], most)) for i in _strongest_first(values)]
    return f"{heading}\n{_table(rows)}"


def _words(explanation: Explanation, coloured: bool) -> list[str]:
    """What the words of a text say, all of them `coloured` or the strongest in tables."""
    parts = explanation.said_by_words()
    if coloured:
        names = explanation.feature_names
        texts = [
            f"{part.title}: {part.sum_is} {signed(part.values.sum())}\n"
            + words_in_terminal(names, part.values, part.limit, _WIDTH)
            for part in parts
        ]
    else:
        texts = [_strongest_words(explanation.feature_names, part) for part in parts]
    return [*texts[:2], _from_sum_to_probability(explanation), *texts[2:]]


def words_in_terminal(words: Sequence[str], values: np.ndarray, limit: float, width: int) -> str:
    """`words` in black on blue or vermilion, by their `values`, in lines of at most `width`."""
    lines: list[list[str]] = [[]]
    room = width
    for word, strength in zip(words, values / limit, strict=True):
        if len(word) > room and lines[-1]:
            lines.append([])
            room = width
        lines[-1].append(_in_terminal(word, strength))
        room -= len(word) + 1
    return "\n".join(map(" ".join, lines))


def _in_terminal(word: str, strength: float) -> str:
    grounds = _BLUES if strength >= 0 else _VERMILIONS
    level = min(round(len(grounds) * abs(strength)), len(grounds))
    return f"\x1b[38;5;16;48;5;{grounds[level - 1]}m{word}\x1b[0m" if level > 0 else word


def _strongest_words(names: Sequence[str], part: Said) -> str:
    """The words that say most, and where in the text they are."""
    values, order = part.values, _strongest_first(part.values)
    rows = [
        (names[i], f"{i + 1}", signed(values[i]), _bar(values[i], part.limit))
        for i in order[:_STRONGEST]
    ]
    if rest := order[_STRONGEST:]:
        rows.append((f"{len(rest)} more", "", signed(values[rest].sum()), ""))
    rows.append((part.sum_is, "", signed(values.sum()), ""))
    return _table([(part.title, "word", "says", ""), *rows])


def _strongest_first(values: np.ndarray) -> list[int]:
    order: list[int] = np.argsort(-np.abs(values), kind="stable").tolist()
    return order


def signed(value: float) -> str:
    text = f"{value:+.2f}"
    return "0.00" if float(text) == 0 else text.replace("-", "−")


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _plain(value: float) -> str:
    return signed(value).removeprefix("+")


def _bar(value: float, most: float) -> str:
    """A bar from the middle, to the left if negative; its longest is _BAR characters."""
    eighths = round(8 * _BAR * abs(value) / most) if most > 0 else 0
    whole, part = divmod(eighths, 8)
    if value >= 0:
        return " " * _BAR + "│" + "█" * whole + _EIGHTHS[part].strip()
    half = "▐" if part >= 4 else ""  # there are no eighths that fill from the right
    return (half + "█" * whole).rjust(_BAR)[-_BAR:] + "│"


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    """Columns: the first and, with its bars, the last to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        first, *numbers, bar = row
        cells = [text.rjust(width) for text, width in zip(numbers, widths[1:-1], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *cells, bar]).rstrip())
    return "\n".join(lines)


def _filled(mark: str, text: str) -> str:
    return textwrap.fill(text, _WIDTH, initial_indent=mark, subsequent_indent=" " * len(mark))


def _in_blocks(pixels: np.ndarray) -> str:
    """An image (height, width) in [0, 1] in shades; a character is one pixel wide and two high."""
    height = len(pixels) - len(pixels) % 2
    pairs = pixels[:height].reshape(height // 2, 2, -1).mean(1)
    levels = (pairs * (len(_SHADES) - 1)).round().astype(int)
    rows = ["".join(_SHADES[level] for level in row) for row in levels]
    edge = "─" * pixels.shape[1]
    return "\n".join((f"┌{edge}┐", *(f"│{row}│" for row in rows), f"└{edge}┘"))
