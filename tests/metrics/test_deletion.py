import pytest
import torch

from pipeline.explanations.senn import contributions
from pipeline.metrics.faithfulness import area, removal_counts, removal_curves, removal_shares
from pipeline.metrics.removal import ConceptRemoval
from tests.metrics.models import senn, two_classes


def linear(weights):
    """p(class 0) = ½ + Σ_k w_k h_k."""

    def aggregator(concepts, relevances):
        p = 0.5 + (concepts * relevances[..., 0]).sum(1)
        return torch.stack([p, 1 - p], 1).log()

    weights = torch.tensor(weights)
    return senn(lambda x: two_classes(weights.expand(len(x), -1)), aggregator=aggregator)


def test_curves_by_hand():
    # Contributions .1, .3, -.2, .05: removed in the order 1, 0, 3, 2.
    model, x = linear([0.1, 0.3, -0.2, 0.05]), torch.ones(1, 4)
    target, removal = torch.zeros(1, dtype=torch.int64), ConceptRemoval(torch.zeros(4))
    curves = removal_curves(model, contributions, x, target, removal, steps=4)
    assert curves.deletion[0].tolist() == pytest.approx([0.75, 0.45, 0.35, 0.3, 0.5], rel=1e-5)
    assert curves.insertion[0].tolist() == pytest.approx([0.5, 0.8, 0.9, 0.95, 0.75], rel=1e-5)
    shares = removal_shares(4, 4)
    assert shares.tolist() == [0, 0.25, 0.5, 0.75, 1]
    expected = (0.75 / 2 + 0.45 + 0.35 + 0.3 + 0.5 / 2) / 4
    assert area(shares, curves.deletion).item() == pytest.approx(expected, rel=1e-5)


def test_steps_of_several_groups_and_ties_in_their_order():
    model, x = linear([0.1, 0.1, 0.1, 0.1, 0.05]), torch.ones(130, 5)
    x[:, 1] = torch.linspace(0.2, 0.8, 130)
    target, removal = torch.zeros(130, dtype=torch.int64), ConceptRemoval(torch.zeros(5))
    equal = lambda model, x, target: torch.ones(len(x), 5)  # noqa: E731
    curves = removal_curves(model, equal, x, target, removal, steps=2)
    # 5 groups in 2 steps: the first two, then all.
    lost = torch.tensor([0.1, 0.1, 0.1, 0.1, 0.05]) * x
    start = 0.5 + lost.sum(1)
    deletion = torch.stack([start, start - lost[:, :2].sum(1), torch.full((130,), 0.5)], 1)
    insertion = torch.stack([torch.full((130,), 0.5), 0.5 + lost[:, :2].sum(1), start], 1)
    torch.testing.assert_close(curves.deletion.float(), deletion)
    torch.testing.assert_close(curves.insertion.float(), insertion)


def test_counts_begin_with_none_and_end_with_all():
    assert removal_counts(49, 12) == [0, 4, 8, 12, 16, 20, 24, 29, 33, 37, 41, 45, 49]
    assert removal_counts(5, 12) == [0, 1, 2, 3, 4, 5]
    assert removal_counts(1, 1) == [0, 1]


def test_area_is_the_mean_height():
    positions = torch.tensor([0.0, 1.0, 4.0])
    curves = torch.tensor([[1.0, 1.0, 1.0], [0.0, 1.0, 4.0], [0.0, 2.0, 0.0]])
    assert area(positions, curves).tolist() == [1.0, 2.0, 1.0]
