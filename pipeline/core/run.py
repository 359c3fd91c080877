"""A run of the pipeline: params, the device to compute on, and where files are."""

from dataclasses import dataclass
from pathlib import Path

import torch

from pipeline.core.device import choose_device
from pipeline.core.params import Params, load_params
from pipeline.core.store import CellStore

_OFF = CellStore(None, 0)


@dataclass(frozen=True)
class Run:
    """What training and measuring have in common.

    Attributes
    ----------
    prepared, models : Path
        Folders of all prepared data sets, and of all trained models.
    store : CellStore
        Has what was trained and measured before.
    """

    params: Params
    device: torch.device
    prepared: Path
    models: Path
    store: CellStore = _OFF

    @classmethod
    def of_workspace(cls) -> "Run":
        """The run of the working folder, on the device of its params, with the user's cell store.

        Raises
        ------
        PipelineError
            If params.yaml is wrong or asks for a device that is not there, or the environment is
            wrong about the cell store.
        """
        params = load_params(Path("params.yaml"))
        device, store = choose_device(params.device), CellStore.from_environment()
        return cls(params, device, Path("data/prepared"), Path("models"), store)

    def data_of(self, name: str) -> Path:
        """The folder of the prepared data set of experiment `name`."""
        return self.prepared / self.params.experiment(name).dataset

    def models_of(self, name: str) -> Path:
        """The folder below which the cells of experiment `name` are (`Cell.path`)."""
        return self.models / self.params.group_of(name)

    def vae(self, seed: int) -> Path:
        """The file of a seed's pretrained β-VAE."""
        return self.models / "vae" / f"seed={seed}.safetensors"
