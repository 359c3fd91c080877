"""One measurement beside everything that was published of the same quantity: the rule of verdicts.

As docs/intervals.md and the report state it. A quantity is one piece of evidence, however many
numbers were published of it. The 95 % interval of this run, over seeds and test examples, is
compared with all of them, a number being everything that rounds to it:

* Those that lie outside the interval are *excluded*.
* Of those inside, the run *agrees with* the one nearest to its mean, and with whatever says the
  same (`answers`), and *does not exclude* the others.

The verdict is *reproduced* if one published answer is left, *undecided* if several are, because the
interval cannot tell them apart, and *not reproduced* if none is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Literal

from pipeline.claims.published import Number, answers
from pipeline.claims.wording import listed
from pipeline.metrics.intervals import Interval, Outcome, excludes

Decided = Literal["reproduced", "undecided", "not reproduced"]
DECIDED: dict[Outcome, Decided] = {
    "supported": "reproduced",
    "undecided": "undecided",
    "not determinable": "undecided",
    "not supported": "not reproduced",
}
"""What is said of a claim that predicts an outcome."""


@dataclass(frozen=True)
class Comparison:
    """An interval beside all published numbers of the same quantity."""

    here: Interval
    numbers: Sequence[Number]

    @cached_property
    def excluded(self) -> list[Number]:
        """Those outside the interval, in the order of `numbers`."""
        return [one for one in self.numbers if excludes(self.here, one.low, one.high)]

    @cached_property
    def left(self) -> list[list[Number]]:
        """Those inside, by what they say (`answers`), the nearest answer first."""
        inside = [
            [one for one in self.numbers if one in group and one not in self.excluded]
            for group in answers(self.numbers)
        ]
        mean = self.here.mean
        return sorted(
            filter(None, inside), key=lambda group: min(one.distance(mean) for one in group)
        )

    @property
    def verdict(self) -> Decided:
        """By how many published answers are left."""
        if not self.left:
            return "not reproduced"
        return "reproduced" if len(self.left) == 1 else "undecided"

    def sentence(self, with_numbers: bool = True) -> str:
        """``agrees with the review (80.9 %), does not exclude the paper (82.02 %)``.

        Without the numbers: ``agrees with the review, does not exclude the paper``.
        """
        said = {
            "agrees with": self.left[0] if self.left else [],
            "does not exclude": list(chain(*self.left[1:])),
            "excludes": self.excluded,
        }
        return ", ".join(
            f"{verb} {listed([one.name if with_numbers else one.whose for one in which])}"
            for verb, which in said.items()
            if which
        )

    @property
    def short(self) -> str:
        """The same in a few words: ``reproduced: review; excluded: paper``."""
        left = " or ".join(listed(_sources(group)) for group in self.left)
        excluded = listed([str(number) for number in self.excluded])
        rest = f"; excluded: {excluded}" if left and excluded else ""
        return f"{self.verdict}: {left or excluded}{rest}"


def _sources(answer: Sequence[Number]) -> list[str]:
    """Who gives an answer: the review, and not its checkpoints too, if both say the same."""
    in_text = {number.source for number in answer if not number.of}
    return [str(one) for one in answer if not one.of or one.source not in in_text]
