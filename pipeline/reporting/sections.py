"""The sections of the report, in the order of the page: data, which costs no import."""

SECTIONS = (
    "findings.findings",
    "claims.lead",
    "claims.claims",
    "accuracy.accuracy",
    "tables.tables",
    "collapse.collapse",
    "study.findings",
    "study.disagreement",
    "explanations.caveats",
    "explorer.explorer",
    "explanations.explanations",
    "concepts.prototypes",
    "explanations.disenn",
    "stability.neighbours",
    "stability.stability",
    "worst_case.bounds",
    "worst_case.attacks",
    "method_scores.comparison",
    "paper_figures.paper_figures",
    "texts.accuracy",
    "texts.documents",
    "texts.power",
    "method_scores.words",
    "texts.tokenizer",
    "concepts.quality",
    "concepts.correlations",
    "training.vae",
    "training.training",
    "training.provenance",
)
"""``<module>.<function>`` of each, in this folder, as the notebook names them."""

DRAWN_FIRST = ("method_scores.comparison",)
"""Those that take as long as all others together."""
