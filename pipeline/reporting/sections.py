"""The sections of the report, in the order of the page."""

from collections.abc import Callable, Iterable

from pipeline.claims.results import Results
from pipeline.reporting import (
    accuracy,
    claims,
    collapse,
    concepts,
    explanations,
    explorer,
    findings,
    method_scores,
    paper_figures,
    stability,
    study,
    tables,
    texts,
    training,
    worst_case,
)
from pipeline.reporting.display import Part

_SECTIONS: tuple[Callable[[Results], Iterable[Part]], ...] = (
    findings.findings,
    claims.lead,
    claims.claims,
    accuracy.accuracy,
    tables.tables,
    collapse.collapse,
    study.findings,
    study.disagreement,
    explanations.caveats,
    explorer.explorer,
    explanations.explanations,
    concepts.prototypes,
    explanations.disenn,
    stability.neighbours,
    stability.stability,
    worst_case.bounds,
    worst_case.attacks,
    method_scores.comparison,
    paper_figures.paper_figures,
    texts.accuracy,
    texts.documents,
    texts.power,
    method_scores.words,
    texts.tokenizer,
    concepts.quality,
    concepts.correlations,
    training.vae,
    training.training,
    training.provenance,
)
SECTIONS = {
    f"{section.__module__.rpartition('.')[2]}.{section.__name__}": section for section in _SECTIONS
}
"""By ``<module>.<function>``, as the notebook names them."""

DRAWN_FIRST = ("method_scores.comparison",)
"""Those that take as long as all others together."""
