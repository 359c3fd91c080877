import pytest
import torch

from pipeline.core.errors import PipelineError
from pipeline.data.scales import Scale
from pipeline.sharing.facts import Facts
from pipeline.sharing.rows import read_row, unlike_training

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
    row = read_row(given, FACTS)
    assert row.values.tolist() == [0.5, 1, 1, 0]
    assert row.notes == ["Not given, so as usual in training: Asian is 1, the others are 0."]


def test_what_is_left_out_does_not_contradict_what_is_given():
    row = read_row({"Hispanic": 1}, FACTS)
    assert row.values.tolist() == [0.5, 0, 0, 1]
    said = "Asian is usually 1, but no training row has it with Hispanic or Latino."
    assert row.notes[1] == said
    both = read_row({"Hispanic": 1, "Asian": 1}, FACTS).values
    assert both.tolist() == [0.5, 0, 1, 1]


def test_a_whole_row_has_no_notes():
    assert read_row(dict.fromkeys(FACTS.feature_names, 0), FACTS).notes == []


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
def test_what_cannot_be_is_refused(given, message):
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
