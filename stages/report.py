"""Write the report: ``python -m stages.report``."""

from pathlib import Path

from pipeline.files import atomic_path, write_json
from pipeline.params import load_params
from pipeline.reporting.claims_metrics import claims_metrics
from pipeline.reporting.notebook import as_text, execute
from pipeline.reporting.numbers import verdicts
from pipeline.reporting.page import figures, to_html
from pipeline.reporting.results import Folders, Results
from pipeline.stage import run_stage

PARAMS, MODELS, PREPARED, REPORTS = map(Path, ("params.yaml", "models", "data/prepared", "reports"))


def main() -> None:
    """Write ``report.ipynb``, ``report.html``, ``figures/*.png``, ``claims.json`` in reports/."""
    load_params(PARAMS)  # a mistake in it is told before a kernel starts
    parameters = {
        "params_file": str(PARAMS),
        "models": str(MODELS),
        "prepared": str(PREPARED),
        "reports": str(REPORTS),
    }
    notebook = execute(REPORTS / "template.ipynb", parameters, Path())
    # Everything is made before anything is written.
    pictures, page = figures(notebook), to_html(notebook)
    claims = claims_metrics(verdicts(Results(PARAMS, Folders(MODELS, PREPARED, REPORTS))))

    folder = REPORTS / "figures"
    for stale in set(folder.glob("*.png")) - {folder / f"{name}.png" for name in pictures}:
        stale.unlink()
    for name, content in pictures.items():
        with atomic_path(folder / f"{name}.png") as temporary:
            temporary.write_bytes(content)
    for name, text in (("report.ipynb", as_text(notebook)), ("report.html", page)):
        with atomic_path(REPORTS / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    write_json(REPORTS / "claims.json", claims)
    print(f"report: {len(pictures)} figures -> {REPORTS / 'report.html'}")


if __name__ == "__main__":
    run_stage(main)
