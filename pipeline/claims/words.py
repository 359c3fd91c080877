"""Lists and numbers as words."""

from collections.abc import Sequence


def listed(words: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def minus(text: str) -> str:
    """`text` with true minus signs."""
    return text.replace("-", "−")
