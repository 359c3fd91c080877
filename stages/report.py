"""Judge the claims, then write the report: ``python -m stages.report``."""

from pathlib import Path

from pipeline.claims.results import Folders, Results
from pipeline.claims.verdicts import as_table, verdicts
from pipeline.core.files import atomic_path, write_csv, write_json
from pipeline.core.stage import run_stage
from pipeline.reporting.notebook import as_text, execute, figures, to_html, with_links

PARAMS, MODELS, PREPARED, REPORTS = map(Path, ("params.yaml", "models", "data/prepared", "reports"))


def main() -> None:
    """Write ``claims.{csv,json}``, ``report.{ipynb,html}`` and ``figures/*.png`` in reports/."""
    claims = verdicts(Results(PARAMS, Folders(MODELS, PREPARED, REPORTS)))
    write_csv(REPORTS / "claims.csv", as_table(claims))  # the notebook reads it
    write_json(REPORTS / "claims.json", {one.claim.id: one.short for one in claims})

    parameters = {
        "params_file": str(PARAMS),
        "models": str(MODELS),
        "prepared": str(PREPARED),
        "reports": str(REPORTS),
    }
    notebook = execute(REPORTS / "template.ipynb", parameters, Path())
    # Everything is made before anything is written.
    pictures, page = figures(notebook), to_html(notebook)
    folder = REPORTS / "figures"
    for stale in set(folder.glob("*.png")) - {folder / f"{name}.png" for name in pictures}:
        stale.unlink()
    for name, picture in pictures.items():
        with atomic_path(folder / f"{name}.png") as temporary:
            temporary.write_bytes(picture)
    linked = as_text(with_links(notebook, folder.name))
    for name, text in (("report.ipynb", linked), ("report.html", page)):
        with atomic_path(REPORTS / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    print(f"report: {len(pictures)} figures -> {REPORTS / 'report.html'}")


if __name__ == "__main__":
    run_stage(main)
