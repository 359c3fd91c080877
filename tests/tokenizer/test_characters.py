import pytest
import torch

from pipeline.core.errors import PipelineError
from pipeline.tokenizer.characters import ALPHABET, around, encoded, unspaced, windows


def spelled(characters):
    return "".join(ALPHABET[place] for place in characters.tolist())


def test_spaces_are_removed_and_remembered():
    text = unspaced(["today", "is", "a", "day"])
    assert spelled(text.characters) == "todayisaday"
    assert text.ends.nonzero().flatten().tolist() == [4, 6, 7, 10]


@pytest.mark.parametrize("words", [["it's"], ["A"], ["é", "b"]])
def test_other_characters(words):
    with pytest.raises(PipelineError, match=r"letters a to z, the texts have ['Aé], too"):
        unspaced(words)


def test_windows_run_on_from_text_to_text():
    pieces = windows([unspaced(["ab", "c"]), unspaced(["defg", "h"])], 3)
    assert [spelled(piece) for piece in pieces.characters] == ["abc", "def"]
    assert pieces.ends.tolist() == [[False, True, True], [False, False, False]]


def test_around_has_as_many_characters_on_either_side_of_the_gap():
    text = unspaced(["abc", "def"])
    assert spelled(around(text, 2, 4)) == "bcde"
    assert spelled(around(text, 2, 6)) == "abcdef"
    assert around(text, 1, 6) is None and around(text, 5, 2) is None


def test_encoded():
    one_hot = encoded([torch.tensor([0, 25]), torch.tensor([1])])
    assert one_hot.dtype == torch.float32 and one_hot.shape == (2, 2, 26)
    assert one_hot.nonzero().tolist() == [[0, 0, 0], [0, 1, 25], [1, 0, 1]]
