"""How far do last bits move the cost of robustness? ``python -m benchmarks.roundings``.

Trains the COMPAS grid of params.yaml once for each of several processors that the table kernel can
be compiled for, all else the same, and writes the test accuracies by λ, averaged over seeds, to
benchmarks/results/roundings.csv. Needs the prepared data (`dvc repro prepare@compas`), a processor
with AVX-512, and half a minute.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd

from pipeline.core import portable
from pipeline.core.errors import PipelineError
from pipeline.core.files import write_csv
from pipeline.core.stage import run_stage

RESULTS = Path(__file__).parent / "results/roundings.csv"
PROCESSORS = {
    "x86-64-v2": "",
    portable.SETTINGS["NUMBA_CPU_NAME"]: portable.SETTINGS["NUMBA_CPU_FEATURES"],
    "skylake-avx512": "",
    "znver4": "",
}


def main() -> None:
    """Train once for each processor; write and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("data/prepared/compas"))
    data = parser.parse_args().data
    rows = []
    for processor in PROCESSORS:
        with tempfile.TemporaryDirectory() as folder:
            script = "import sys; from benchmarks.roundings import train; train(*sys.argv[1:])"
            command = [sys.executable, "-c", script, processor, str(data), folder]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise PipelineError(f"{processor}: {done.stderr.strip()}")
            table = pd.read_csv(Path(folder, "accuracies.csv"))
        mean = table.groupby("robust_reg")["accuracy"].mean()
        rows.append({"compiled_for": processor, **{f"{reg:g}": mean[reg] for reg in mean.index}})
    result = pd.DataFrame(rows)
    result["points_lost"] = 100 * (result.iloc[:, 1] - result.iloc[:, -1])
    write_csv(RESULTS, result)
    print(result.to_string(index=False))


def train(processor: str, data: str, folder: str) -> None:
    """Train the grid with the kernel compiled for `processor`; write each cell's test accuracy."""
    import numba.core.config

    chosen = {"CPU_NAME": processor, "CPU_FEATURES": PROCESSORS[processor]}
    vars(numba.core.config).update(chosen)  # after `portable`, and before anything is compiled

    import torch

    from benchmarks.measure import REPOSITORY, changed
    from benchmarks.probes_agreement import train_and_test
    from pipeline.core.params import load_params
    from pipeline.core.store import CellStore
    from pipeline.training.task import Job

    params = changed(
        load_params(REPOSITORY / "params.yaml"), {"experiments.compas_senn.seeds": None}
    )
    models, vaes = Path(folder), Path(folder, "vae")
    cpu, store = torch.device("cpu"), CellStore(None, 1)
    job = Job(params, "compas_senn", cpu, Path(data), vaes, models, store)
    write_csv(Path(folder, "accuracies.csv"), train_and_test(job))


if __name__ == "__main__":
    run_stage(main)
