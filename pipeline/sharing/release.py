"""The model of an experiment that comes with the repository: its file and its card."""

from pathlib import Path

import pandas as pd

from pipeline.core.cells import Cell, rows_at
from pipeline.core.dataset import load_dataset
from pipeline.core.errors import PipelineError
from pipeline.core.files import all_or_nothing, read_table, write_bytes
from pipeline.core.run import Run
from pipeline.sharing.card import card
from pipeline.sharing.files import share


def release(run: Run, name: str, cells: Path, folder: Path) -> Path:
    """Write ``<name>.safetensors`` and ``<name>.md`` into `folder`; returns the former.

    It is the headline λ's model of the first seed, which is the one that the report explains.

    Parameters
    ----------
    cells : the table of stage `evaluate`.

    Raises
    ------
    PipelineError
        If a file is missing or damaged, or they do not belong together.
    """
    cell = Cell(name, run.params.robust_reg, run.params.seeds_of(name)[0])
    data = run.data_of(name)
    file = folder / f"{name}.safetensors"
    with all_or_nothing(folder):
        shared = share(cell.path(run.models_of(name)), data, file)
        text = card(shared, file, load_dataset(data), _headline(cells, cell))
        write_bytes(file.with_suffix(".md"), text.encode())
    return file


def _headline(path: Path, cell: Cell) -> pd.DataFrame:
    """The rows of cells with the λ of `cell`, which must be among them."""
    table = rows_at(read_table(path), cell.robust_reg)
    rows = table[table["experiment"] == cell.experiment]
    if cell.seed not in set(rows["seed"]):
        raise PipelineError(
            f"{path}: no row for {cell}, which params.yaml asks for. Run `dvc repro`."
        )
    return rows
