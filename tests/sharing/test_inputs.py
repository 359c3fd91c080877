"""Rows of tables and texts, as people write them."""

import pytest
import torch

from pipeline.core.errors import PipelineError
from pipeline.data.scales import Scale
from pipeline.sharing.facts import Facts
from pipeline.sharing.inputs import read_row, read_text, unlike_training

VOCABULARY = ("", "<unknown>", "oil", "the", "u", "s")
FACTS = Facts(
    class_names=("no", "yes"),
    feature_names=("Number_of_Priors", "Female", "Asian", "Hispanic"),
    plain_names=("Prior offences", "Female", "Asian", "Hispanic or Latino"),
    scales=(Scale(0, 38, 0.5), Scale(), Scale(), Scale()),
    baseline=(-3, 0, 1, 0),
    usual=(0.5, 0, 1, 0),
    low=(0,),
    high=(1,),
    feature_range=((0, 0.8), (0, 0), (0, 1), (0, 1)),
    concept_range=((0, 0.8), (0, 0), (0, 1), (0, 1)),
    never_together=((2, 3),),
    ground=None,
    latent_spread=None,
    caveat="",
)


@pytest.mark.parametrize(
    "given",
    [
        {"Number_of_Priors": 9.5, "Female": 1},
        {"prior offences": "9.5", "FEMALE": "yes"},
        {"number-of-priors": 9.5, "female": True},
    ],
)
def test_names_and_values_as_people_write_them(given):
    values, notes = read_row(given, FACTS)
    assert values.tolist() == [0.5, 1, 1, 0]
    assert notes == ["Not given, so as usual in training: Asian is 1, the others are 0."]


def test_what_is_left_out_does_not_contradict_what_is_given():
    values, notes = read_row({"Hispanic": 1}, FACTS)
    assert values.tolist() == [0.5, 0, 0, 1]
    said = "Asian is usually 1, but no training row has it with Hispanic or Latino."
    assert notes[1] == said
    both, _ = read_row({"Hispanic": 1, "Asian": 1}, FACTS)
    assert both.tolist() == [0.5, 0, 1, 1]


def test_a_whole_row_has_no_notes():
    assert read_row(dict.fromkeys(FACTS.feature_names, 0), FACTS)[1] == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"Number_of_Prior": 3}, "Number_of_Prior: is no feature; did you mean Number_of_Priors?"),
        ({"x": 3}, "x: is no feature; has Number_of_Priors, Female, Asian, Hispanic"),
        ({"Female": "maybe"}, "Female: must be a number, got maybe"),
        ({"Female": None}, "Female: must be a number, got None"),
        ({"Female": "inf"}, "Female: must be finite, got inf"),
        ({"Number_of_Priors": -1}, "Number_of_Priors: must be ≥ 0, got -1"),
        (
            {"Number_of_Priors": 1, "Prior offences": 2},
            "Prior offences: is the same feature as Number_of_Priors; give it once",
        ),
    ],
)
def test_rows_that_cannot_be_are_refused(given, message):
    with pytest.raises(PipelineError) as caught:
        read_row(given, FACTS)
    assert str(caught.value) == message


def test_what_is_unlike_the_training_rows():
    assert unlike_training(torch.tensor([0.8, 0, 1, 0]), FACTS) == []
    assert unlike_training(torch.tensor([1.0, 1, 1, 1]), FACTS) == [
        "Prior offences is 38; in training it was from 0 to 24.32.",
        "Female is 1; in training it was always 0.",
        "No training example is both “Asian” and “Hispanic or Latino”.",
    ]


@pytest.mark.parametrize(
    ("text", "words", "places"),
    [
        ("The OIL", ("the", "oil"), [3, 2, 0, 0]),
        ("\tthe\n\n3.5 oil!", ("the", "oil"), [3, 2, 0, 0]),
        ("U.S.-oil's", ("u", "s", "oil", "s"), [4, 5, 2, 5]),
        ("Öl the crème", ("l", "the", "cr", "me"), [1, 3, 1, 1]),
    ],
)
def test_words_are_those_of_the_corpus(text, words, places):
    read, where, _ = read_text(text, VOCABULARY, 4)
    assert read == words and where.tolist() == places


def test_what_was_not_read_is_said():
    def notes(text, length):
        return read_text(text, VOCABULARY, length)[2]

    assert notes("the oil", 4) == []
    (note,) = notes("the gas and the gas", 9)
    assert note == "Unknown words, which the model does not tell apart: gas, and."
    (note,) = notes("the oil " * 600, 4)
    assert note == "The text was cut: the model reads the first 4 of its 1,200 words."
    many = " ".join(f"x{letter}" for letter in "abcdefghijklm")
    (note,) = notes(f"oil {many}", 99)
    assert note.endswith("xi, xj and 3 more.")
    # Only words that it reads count.
    (note,) = notes("the oil gas", 2)
    assert note.startswith("The text was cut")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the text '' has no words: write some in the letters a to z"),
        ("12 ?! öü", r"the text '12 \?! öü' has no words"),
        (
            "gas and gas",
            "knows none of the words gas, and; it knows 4 words, such as oil, the, u, s",
        ),
        ("gas coal ore tin oil", "knows none of the words gas, coal, ore, tin; it"),  # oil is cut
    ],
)
def test_texts_that_say_nothing_are_refused(text, message):
    with pytest.raises(PipelineError, match=message):
        read_text(text, VOCABULARY, 4)
