import pytest

from pipeline.claims.published import CLAIMS
from pipeline.study.published import PUBLISHED_CURVES, PUBLISHED_RANGES

PUBLISHED = {  # id: λ, published number, what rounds to it, source
    "mnist-accuracy": ((1e-4,), "98.9 %", (0.9885, 0.9895), "review"),
    "mnist-accuracy-paper": ((0.0, 1.0), "98.7 to 99.1 %", (0.9865, 0.9915), "paper"),
    "compas-accuracy": ((1e-4,), "80.9 %", (0.8085, 0.8095), "review"),
    "compas-accuracy-paper": ((1e-4,), "82 %", (0.815, 0.825), "paper"),
    "compas-tradeoff": ((1e-4, 1.0), "about 15 points", (0.145, 0.155), "review"),
    "compas-tradeoff-paper": ((1e-4, 1.0), "about 4 points", (0.035, 0.045), "paper"),
    "mnist-collapse": ((1.0,), "40 %", (0.395, 0.405), "review"),
    "mnist-collapse-paper": ((1.0,), "98.7 %", (0.9865, 0.9875), "paper"),
    "disenn-accuracy": ((1e-3,), "98.36 %", (0.98355, 0.98365), "review"),
    "stable-explanations": ((), "in words", (None, None), "review"),
    "poor-explanations": ((), "in words", (None, None), "review"),
    "disenn-diversity": ((), "in words", (None, None), "review"),
}


def test_all_claims_are_there_as_published():
    claims = {c.id: (c.lambdas, c.published, (c.low, c.high), c.source) for c in CLAIMS}
    assert claims == PUBLISHED


def test_experiments_and_datasets():
    for claim in CLAIMS:
        family = claim.id.split("-")[0]
        if family in ("compas", "mnist", "disenn"):
            expected = {"compas": "compas_senn", "mnist": "mnist_senn", "disenn": "mnist_disenn"}
            assert claim.experiment == expected[family]
        assert claim.dataset == ("compas" if claim.experiment == "compas_senn" else "mnist")


def test_curves_are_the_reviews_tables():
    (compas,) = (c for c in PUBLISHED_CURVES if (c.experiment, len(c.points)) == ("compas_senn", 5))
    means = [sum(compas.points[reg]) / 3 for reg in (1e-4, 1e-3, 1e-2, 1e-1, 1.0)]
    assert means == pytest.approx([0.795, 0.78333, 0.76417, 0.685, 0.63833], abs=1e-4)
    (mnist,) = (c for c in PUBLISHED_CURVES if (c.experiment, len(c.points)) == ("mnist_senn", 5))
    assert [mnist.points[reg] for reg in (1e-4, 1.0)] == [(0.9883,), (0.2445,)]
    (band,) = PUBLISHED_RANGES
    assert (band.low, band.high) == (0.987, 0.991)


def test_points_of_curves_agree_with_claims():
    by_id = {claim.id: claim for claim in CLAIMS}
    for identity, label in (
        ("compas-accuracy", "review, test accuracy"),
        ("mnist-accuracy", "review, test accuracy"),
        ("mnist-collapse", "review, test accuracy"),
        ("disenn-accuracy", "review, test accuracy"),
        ("compas-accuracy-paper", "paper, as quoted"),
    ):
        claim = by_id[identity]
        (curve,) = (
            c for c in PUBLISHED_CURVES if (c.experiment, c.label) == (claim.experiment, label)
        )
        assert claim.low < curve.points[claim.lambdas[0]][0] < claim.high
