"""Train and measure the tokenizer: ``python -m stages.tokenizer``."""

from pathlib import Path

from pipeline.core.files import write_csv
from pipeline.core.params import load_params
from pipeline.core.stage import run_stage
from pipeline.data.registry import documents, files_of
from pipeline.data.sources import verify_all
from pipeline.tokenizer.run import run_tokenizer, tokenizer_table


def main() -> None:
    """Write ``reports/text/tokenizer.csv``."""
    params = load_params(Path("params.yaml"))
    settings = params.tokenizer
    raw = Path("data/raw", settings.dataset)
    verify_all(files_of(settings.dataset), raw)
    training, held_out = documents(settings.dataset, raw)
    measured = run_tokenizer(settings, training, held_out, params.compute)
    table = tokenizer_table(measured, params.evaluate.bootstrap)
    table.insert(0, "dataset", settings.dataset)
    write_csv(Path("reports/text/tokenizer.csv"), table)


if __name__ == "__main__":
    run_stage(main)
