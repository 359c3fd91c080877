"""Where to compute: `device: auto | cpu | cuda | cuda:N`.

A GPU computes in float32 throughout, by algorithms that a repetition chooses again.
"""

import os

import torch

from pipeline.core import portable
from pipeline.core.errors import PipelineError

torch.backends.cudnn.allow_tf32 = False  # TF32 has 10 bits
torch.backends.cuda.matmul.allow_tf32 = False
torch.backends.cudnn.benchmark = False
torch.backends.cudnn.deterministic = True
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when a GPU is first used


def choose_device(name: str) -> torch.device:
    """The device called `name`; ``auto`` is the first CUDA device, or the CPU if there is none.

    Raises
    ------
    PipelineError
        If `name` is a CUDA device that does not exist.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise PipelineError(
            f"params.yaml: device: {name} does not exist, torch {torch.__version__} sees "
            f"{torch.cuda.device_count()} CUDA device(s); use auto or cpu"
        )
    return device


def device_kind(device: torch.device) -> str:
    """The kind of a device, which decides the last bit of a result; its index does not.

    All CPUs on which results are portable (`portable`) are of one kind. Every task runs on one
    thread there (`workers`), so the number of cores does not matter.
    """
    if device.type == "cuda":
        return f"cuda {torch.cuda.get_device_name(device)}"
    return f"cpu {portable.kind()}"
