import pytest
import torch
from torch import nn

from pipeline.metrics.removal import (
    ConceptRemoval,
    InputRemoval,
    leave_one_out,
    probabilities,
    removal_of_concepts,
)
from tests.metrics.models import random_image_senn, random_table_senn


def test_attributions_of_patches_are_sums_over_their_pixels():
    removal = InputRemoval(torch.zeros(3, 8, 8), patch=4)
    e = torch.rand(5, 3, 8, 8)
    sides = (slice(0, 4), slice(4, 8))
    expected = [e[:, :, rows, columns].sum((1, 2, 3)) for rows in sides for columns in sides]
    assert removal.groups == 4
    torch.testing.assert_close(removal.pool(e), torch.stack(expected, 1))


def test_patches_at_the_edge_are_smaller():
    removal = InputRemoval(torch.zeros(1, 5, 7), patch=3)
    assert removal.groups == 2 * 3
    pixels = removal.pool(torch.ones(1, 1, 5, 7))[0]
    assert pixels.tolist() == [9, 9, 3, 6, 6, 2]


def test_features_of_tables_and_concepts_are_groups_of_their_own():
    e = torch.rand(4, 6)
    for removal in (InputRemoval(torch.zeros(6), patch=4), ConceptRemoval(torch.zeros(6))):
        assert removal.groups == 6
        assert torch.equal(removal.pool(e), e)


def test_removed_patches_are_set_to_the_baseline():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 3)).eval()
    x, baseline = torch.rand(150, 1, 8, 8), torch.rand(1, 8, 8)
    target = torch.arange(150) % 3
    removed = torch.rand(150, 5, 4) < 0.5
    removal = InputRemoval(baseline, patch=4)
    p_without = probabilities(removal, model, x, target, removed)
    for i in (0, 99, 100, 149):
        for m in range(5):
            point = x[i].clone()
            for group in removed[i, m].nonzero().flatten().tolist():
                row, column = 4 * (group // 2), 4 * (group % 2)
                corner = (0, slice(row, row + 4), slice(column, column + 4))
                point[corner] = baseline[corner]
            p = model(point.unsqueeze(0)).softmax(1)[0, target[i]].item()
            assert p_without[i, m].item() == pytest.approx(p, rel=1e-5)


def test_the_same_choices_for_all_examples():
    model, x = random_table_senn(), torch.rand(3, 6)
    target = torch.tensor([0, 1, 2])
    removal, removed = InputRemoval(torch.full((6,), 0.5)), torch.eye(6, dtype=torch.bool)[:2]
    p = probabilities(removal, model, x, target, removed)
    assert torch.equal(p, probabilities(removal, model, x, target, removed.expand(3, 2, 6)))
    intact = probabilities(removal, model, x, target, torch.zeros(1, 6, dtype=torch.bool))
    assert torch.equal(leave_one_out(removal, model, x, target)[:, :3], torch.cat([intact, p], 1))


def test_concepts_that_are_features_are_removed_from_the_input():
    x = torch.tensor([[1.0, 5.0], [2.0, 6.0], [3.0, 0.0], [9.0, 7.0]]).repeat(1, 3)
    removal = removal_of_concepts(random_table_senn(), x[0], x)
    assert isinstance(removal, InputRemoval)
    assert torch.equal(removal.baseline, x[0])
    h = torch.rand(10, 3)
    removal = removal_of_concepts(random_image_senn(), torch.rand(1, 28, 28), h)
    assert isinstance(removal, ConceptRemoval)
    torch.testing.assert_close(removal.baseline, h.mean(0))


def test_of_a_concept_set_to_0_the_relevance_is_gone_and_all_else_stays():
    model = random_image_senn()
    x, target = torch.rand(4, 1, 28, 28), torch.tensor([0, 1, 2, 3])
    removal = ConceptRemoval(torch.zeros(3))
    p = leave_one_out(removal, model, x, target)
    h, theta = model.conceptizer.encode(x), model.parameterizer(x)
    for removed in range(3):
        kept = [k for k in range(3) if k != removed]
        logits = (h[:, kept].unsqueeze(2) * theta[:, kept]).sum(1).double()
        expected = logits.softmax(1)[range(4), target]
        torch.testing.assert_close(p[:, 1 + removed], expected, atol=1e-6, rtol=1e-5)
    assert torch.equal(removal.pool(theta[..., 0]), theta[..., 0])
