"""Judge the claims, then write the report: ``python -m stages.report``."""

from pathlib import Path

from pipeline.claims.results import Results
from pipeline.claims.verdicts import as_table, verdicts
from pipeline.core.files import write_bytes, write_csv, write_json
from pipeline.core.stage import run_stage
from pipeline.reporting.notebook import as_text, execute, figures, to_html, with_links

REPORTS = Path("reports")
PLACES = {
    "params_file": "params.yaml",
    "models": "models",
    "prepared": "data/prepared",
    "reports": str(REPORTS),
}
"""Where a run is, by the names of the notebook's parameters."""


def main() -> None:
    """Write ``claims.{csv,json}``, ``report.{ipynb,html}`` and ``figures/*.png`` in reports/."""
    claims = verdicts(Results(**PLACES))
    write_csv(REPORTS / "claims.csv", as_table(claims))  # the notebook reads it
    write_json(REPORTS / "claims.json", {one.claim.id: one.short for one in claims})

    notebook = execute(REPORTS / "template.ipynb", PLACES, Path())
    # Everything is made before anything is written.
    pictures, page = figures(notebook), to_html(notebook)
    folder = REPORTS / "figures"
    for stale in set(folder.glob("*.png")) - {folder / f"{name}.png" for name in pictures}:
        stale.unlink()
    for name, picture in pictures.items():
        write_bytes(folder / f"{name}.png", picture)
    write_bytes(REPORTS / "report.ipynb", as_text(with_links(notebook, folder.name)).encode())
    write_bytes(REPORTS / "report.html", page.encode())
    print(f"report: {len(pictures)} figures -> {REPORTS / 'report.html'}")


if __name__ == "__main__":
    run_stage(main)
